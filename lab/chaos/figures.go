package chaos

import (
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/trips"
)

// measurements measures a run, beside the witnesses who judge it.
type measurements struct {
	city         *city
	store        *postgres.Store
	watcher      *watcher
	takeovers    *takeoverWatcher
	watchCtx     context.Context // of the takeovers
	stopWatching context.CancelFunc
}

// startMeasuring begins; close what it returns.
func (c *city) startMeasuring(ctx context.Context) (*measurements, error) {
	s, err := postgres.Open(ctx, c.databaseURL, postgres.Options{MaxConns: 4})
	if err != nil {
		return nil, err
	}

	f := &measurements{city: c, store: s, watcher: newWatcher(c, s), takeovers: &takeoverWatcher{db: s,
		pending: func(ctx context.Context, node string) ([]trips.TripID, error) {
			return pendingJobs(ctx, c.redisAddress, node)
		}}}
	f.watchCtx, f.stopWatching = context.WithCancel(ctx)
	return f, nil
}

func (f *measurements) close() {
	f.stopWatching()
	f.takeovers.watching.Wait()
	f.store.Close()
}

// onFault hears of faults as they begin.
func (f *measurements) onFault(s Strike) {
	switch s.Kind {
	case KillNode, PauseNode, SkewClock:
		f.takeovers.watching.Go(func() { f.takeovers.onStrike(f.watchCtx, f.city.nodes[s.Node-1].Name, s.Begun) })
	}
}

// Operations is what was asked of the nodes and done by them while the run
// lasted. Nothing is in two of its parts.
type Operations struct {
	// of phones, with the node's final answer: a transaction or a refusal
	Commands int `json:"commands"`
	Probes   int `json:"probes"` // trips requested over HTTP within a second
	// phones that came back: each is told how it stands, from the database
	Welcomes int `json:"welcomes"`
	// of drivers, taken for true; those of a killed node's last second are not
	// seen
	Positions int64 `json:"positions"`
	Total     int64 `json:"total"`
}

// fillReport writes what was measured into the report, which the witnesses have
// filled before.
func (f *measurements) fillReport(r *Report, strikes []Strike, answers []probeResult, run interval, before, after []ResourceUse) error {
	doors := make([]string, len(f.city.nodes))
	for i, n := range f.city.nodes {
		doors[i] = n.publicURL()
	}
	all, err := readOutages(f.city.journalPaths(), doors)
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
	r.PostgresBack = computeQuantiles(w.timesAfterReady(strikes, answers, len(doors)))
	r.PostgresKills = len(w.timesAfterReady(strikes, answers, len(doors)))
	o := Operations{Commands: r.Load.Commands - r.Load.Ambiguous, Welcomes: len(all)}
	for _, a := range answers {
		if a.kind == commandProbe && a.ok {
			o.Probes++
		}
	}

	for _, m := range w.accepted {
		o.Positions += int64(m.total())
	}
	o.Total = int64(o.Commands) + int64(o.Probes) + int64(o.Welcomes) + o.Positions
	r.Operations = o
	first := run.to
	for _, s := range strikes {
		if s.Begun.Before(first) {
			first = s.Begun
		}
	}

	for i, n := range f.city.nodes {
		u := Resources{Node: n.Name, Before: before[i], After: after[i]}
		for _, h := range w.uses[i] {
			if h.at.Before(first) {
				u.Warm = u.Warm.maxWith(h.ResourceUse)
			} else if h.at.Before(run.to) {
				u.Most = u.Most.maxWith(h.ResourceUse)
			}
		}

		r.Resources = append(r.Resources, u)
	}

	r.Targets = r.compareTargets()
	return nil
}

// journalPaths are the files of all crowds.
func (c *city) journalPaths() (out []string) {
	for _, w := range c.clients {
		out = append(out, c.journalPath(w.Name))
	}
	return out
}

// recoveryFrom finds what is known of a kind of fault.
func (r Report) recoveryFrom(k Kind) Recovery {
	if i := slices.IndexFunc(r.Recoveries, func(x Recovery) bool { return x.Kind == k }); i >= 0 {
		return r.Recoveries[i]
	}
	return Recovery{}
}
