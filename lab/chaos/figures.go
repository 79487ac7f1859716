package chaos

import (
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/trips"
)

// figures measures a run, beside the witnesses who judge it.
type figures struct {
	city      *city
	store     *postgres.Store
	watcher   *watcher
	takeovers *takeovers
	looking   context.Context // of the takeovers
	enough    context.CancelFunc
}

// measure begins; close what it returns.
func (c *city) measure(ctx context.Context) (*figures, error) {
	s, err := postgres.Open(ctx, c.database, postgres.Options{MaxConns: 4})
	if err != nil {
		return nil, err
	}

	f := &figures{city: c, store: s, watcher: newWatcher(c, s), takeovers: &takeovers{db: s,
		pending: func(ctx context.Context, node string) ([]trips.TripID, error) { return inHand(ctx, c.redisAt, node) }}}
	f.looking, f.enough = context.WithCancel(ctx)
	return f, nil
}

func (f *figures) close() {
	f.enough()
	f.takeovers.watching.Wait()
	f.store.Close()
}

// told hears of faults as they begin.
func (f *figures) told(s Strike) {
	switch s.Kind {
	case KillNode, PauseNode, SkewClock:
		f.takeovers.watching.Go(func() { f.takeovers.blow(f.looking, f.city.nodes[s.Node-1].Name, s.Begun) })
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

// fill writes what was measured into the report, which the witnesses have
// filled before.
func (f *figures) fill(r *Report, strikes []Strike, answers []answer, run interval, before, after []Holdings) error {
	doors := make([]string, len(f.city.nodes))
	for i, n := range f.city.nodes {
		doors[i] = n.door()
	}
	all, err := spells(f.city.journals(), doors)
	if err != nil {
		return err
	}

	paid, err := f.city.payments()
	if err != nil {
		return err
	}

	time.AfterFunc(time.Until(run.to.Add(takeoverEnds)), f.enough)
	r.Takeover = f.takeovers.sum()
	w := f.watcher
	w.mu.Lock()
	defer w.mu.Unlock()

	r.Sessions, r.Recoveries = sessionsOf(all, strikes), recoveries(all, strikes, r.Windows)
	w.strain(r.Recoveries, run, strikes, paid)
	r.PostgresBack = quantiles(w.afterReady(strikes, answers, len(doors)))
	r.PostgresKills = len(w.afterReady(strikes, answers, len(doors)))
	o := Operations{Commands: r.Load.Commands - r.Load.Ambiguous, Welcomes: len(all)}
	for _, a := range answers {
		if a.asked == asksCommand && a.ok {
			o.Probes++
		}
	}

	for _, m := range w.believed {
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
		for _, h := range w.held[i] {
			if h.at.Before(first) {
				u.Warm = u.Warm.most(h.Holdings)
			} else if h.at.Before(run.to) {
				u.Most = u.Most.most(h.Holdings)
			}
		}

		r.Resources = append(r.Resources, u)
	}

	r.Targets = r.targets()
	return nil
}

// journals are the files of all crowds.
func (c *city) journals() (out []string) {
	for _, w := range c.crowds {
		out = append(out, c.journal(w.Name))
	}
	return out
}

// of finds what is known of a kind of fault.
func (r Report) of(k Kind) Recovery {
	if i := slices.IndexFunc(r.Recoveries, func(x Recovery) bool { return x.Kind == k }); i >= 0 {
		return r.Recoveries[i]
	}
	return Recovery{}
}
