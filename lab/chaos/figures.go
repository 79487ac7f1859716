package chaos

import (
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/trips"
)

// measurements are the figures of a run, beside the checked invariants.
type measurements struct {
	city         *city
	store        *postgres.Store
	watcher      *watcher
	takeovers    *takeoverWatcher
	watchCtx     context.Context // of the takeovers
	stopWatching context.CancelFunc
}

// startMeasuring opens the database; close what it returns.
func (c *city) startMeasuring(ctx context.Context) (*measurements, error) {
	s, err := postgres.Open(ctx, c.databaseURL, postgres.Options{MaxConns: 4})
	if err != nil {
		return nil, err
	}

	f := &measurements{city: c, store: s, watcher: newWatcher(c, s), takeovers: &takeoverWatcher{db: s,
		pending: func(ctx context.Context, node string) ([]trips.TripID, error) {
			return c.pendingJobs(ctx, node)
		}}}
	f.watchCtx, f.stopWatching = context.WithCancel(ctx)
	return f, nil
}

func (f *measurements) close() {
	f.stopWatching()
	f.takeovers.watching.Wait()
	f.store.Close()
}

// onFault is called when a fault begins.
func (f *measurements) onFault(s Strike) {
	switch s.Kind {
	case KillNode, PauseNode, SkewClock:
		f.takeovers.watching.Go(func() { f.takeovers.onStrike(f.watchCtx, f.city.nodes[s.Node-1].Name, s.Begun) })
	}
}

// Operations counts what nodes did during the run. No operation is counted
// twice.
type Operations struct {
	// Commands are those of phones with a final answer: a transaction or a
	// refusal.
	Commands int `json:"commands"`
	// Probes are trips requested over HTTP within a second.
	Probes int `json:"probes"`
	// Welcomes are reconnects, for each of which a node reads the database.
	Welcomes int `json:"welcomes"`
	// Positions are the accepted ones, without those of a killed node's last
	// second.
	Positions int64 `json:"positions"`
	Total     int64 `json:"total"`
}

// fillReport writes the figures into a report that has the checked invariants.
func (f *measurements) fillReport(r *Report, strikes []Strike, results []probeResult, run interval, before, after []ResourceUse) error {
	all, err := readOutages(f.city.journalPaths(), f.city.publicURLs())
	if err != nil {
		return err
	}

	paid, err := f.city.readPayments()
	if err != nil {
		return err
	}

	time.AfterFunc(time.Until(run.to.Add(takeoverEnds)), f.stopWatching)
	r.Takeover = f.takeovers.summarize()
	w := f.watcher
	w.mu.Lock()
	defer w.mu.Unlock()

	r.Sessions, r.Recoveries = summarizeSessions(all, strikes), summarizeRecoveries(all, strikes, r.Windows)
	w.fillCosts(r.Recoveries, run, strikes, paid)
	back := w.timesAfterReady(strikes, results, len(f.city.nodes))
	r.PostgresBack, r.PostgresKills = computeQuantiles(back), len(back)
	r.Operations = w.countOperations(r.Load.Commands-r.Load.Ambiguous, len(all), results)
	r.Resources = f.summarizeResources(strikes, run, before, after)
	r.Targets = r.compareTargets()
	return nil
}

// countOperations needs w.mu.
func (w *watcher) countOperations(commands, welcomes int, results []probeResult) Operations {
	o := Operations{Commands: commands, Welcomes: welcomes}
	for _, r := range results {
		if r.kind == commandProbe && r.ok {
			o.Probes++
		}
	}

	for _, m := range w.accepted {
		o.Positions += int64(m.total())
	}

	o.Total = int64(o.Commands) + int64(o.Probes) + int64(o.Welcomes) + o.Positions
	return o
}

// summarizeResources needs the watcher's mu.
func (f *measurements) summarizeResources(strikes []Strike, run interval, before, after []ResourceUse) (out []Resources) {
	first := run.to
	for _, s := range strikes {
		if s.Begun.Before(first) {
			first = s.Begun
		}
	}

	for i, n := range f.city.nodes {
		u := Resources{Node: n.Name, Before: before[i], After: after[i]}
		for _, h := range f.watcher.uses[i] {
			if h.at.Before(first) {
				u.Warm = u.Warm.maxWith(h.ResourceUse)
			} else if h.at.Before(run.to) {
				u.Most = u.Most.maxWith(h.ResourceUse)
			}
		}

		out = append(out, u)
	}

	return out
}

// journalPaths returns the journals of all clients except the intruder's.
func (c *city) journalPaths() (out []string) {
	for _, w := range c.clients {
		out = append(out, c.journalPath(w.Name))
	}
	return out
}

// recoveryFrom returns the recovery from a kind of fault, or a zero one.
func (r Report) recoveryFrom(k Kind) Recovery {
	if i := slices.IndexFunc(r.Recoveries, func(x Recovery) bool { return x.Kind == k }); i >= 0 {
		return r.Recoveries[i]
	}
	return Recovery{}
}
