package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// Phones that connect at about the same time share a read: a few are asked for at once, and of thousands those who came
// meanwhile go together. So the database sees 10 statements a second for them, however many they are.
const (
	greetsPerSec = 10
	greetsBurst  = 2
	greetAtOnce  = 500 // in one statement
	greetReads   = 4   // under way at the same time, so that one that hangs does not hold up all
)

// greeter finds out how things stand for phones that connect.
type greeter struct {
	read  func([]trips.ResumeQuery) ([]stand, error)
	spawn func(func()) bool
	pace  *rate.Limiter
	slots chan struct{} // taken by reads under way

	mu      sync.Mutex // guards below
	waiting []*asking  // longest first
	working bool
}

// stand is how things stand for a phone, with the receipt of its trip if it was paid.
type stand struct {
	trips.ResumeState
	receipt payments.Charge
}

// asking is one phone's question.
type asking struct {
	ctx  context.Context
	of   trips.ResumeQuery
	got  stand
	err  error
	done chan struct{} // closed when got or err is set
}

// newGreeter takes a read that ends in time by itself.
func newGreeter(read func([]trips.ResumeQuery) ([]stand, error), spawn func(func()) bool) *greeter {
	return &greeter{read: read, spawn: spawn, pace: rate.NewLimiter(greetsPerSec, greetsBurst),
		slots: make(chan struct{}, greetReads)}
}

// standing blocks until the store has answered or ctx has ended.
func (g *greeter) standing(ctx context.Context, of trips.ResumeQuery) (stand, error) {
	a := &asking{ctx: ctx, of: of, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, a)
	idle := !g.working
	g.working = true
	g.mu.Unlock()
	if idle && !g.spawn(g.work) {
		return stand{}, errDraining // and so it is for whoever comes later
	}
	select {
	case <-a.done:
		return a.got, a.err
	case <-ctx.Done():
		return stand{}, ctx.Err()
	}
}

// work begins reads until nobody waits.
func (g *greeter) work() {
	for g.more() {
		g.slots <- struct{}{}
		time.Sleep(g.pace.Reserve().Delay())
		batch := g.next()
		if !g.spawn(func() { g.answer(batch) }) {
			failAll(batch, errDraining)
			<-g.slots
		}
	}
}

// more says whether somebody waits; if nobody does, the next one who comes must see to work.
func (g *greeter) more() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.working = len(g.waiting) > 0
	return g.working
}

// next takes those who have waited longest and still do.
func (g *greeter) next() (batch []*asking) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(a *asking) bool { return a.ctx.Err() != nil })
	n := min(len(g.waiting), greetAtOnce)
	batch, g.waiting = g.waiting[:n:n], g.waiting[n:]
	return batch
}

func (g *greeter) answer(batch []*asking) {
	defer func() { <-g.slots }()
	if len(batch) == 0 {
		return // they gave up
	}
	of := make([]trips.ResumeQuery, len(batch))
	for i, a := range batch {
		of[i] = a.of
	}
	got, err := g.read(of)
	if err == nil && len(got) != len(of) {
		err = fmt.Errorf("%d answers to %d questions", len(got), len(of))
	}
	if err != nil {
		failAll(batch, err)
		return
	}
	for i, a := range batch {
		a.got = got[i]
		close(a.done)
	}
}

func failAll(batch []*asking, err error) {
	for _, a := range batch {
		a.err = err
		close(a.done)
	}
}

// stands says how things stand for a phone, asking together with others if the store can answer many.
func (g *Gateway) stands(ctx context.Context, of trips.ResumeQuery) (stand, error) {
	if g.cfg.Standings == nil {
		return g.standing(ctx, of)
	}
	return g.greeter.standing(ctx, of)
}

func (g *Gateway) readStandings(of []trips.ResumeQuery) ([]stand, error) {
	ctx, cancel := context.WithTimeout(g.base, g.cfg.Limits.CommandWithin)
	defer cancel()
	all, receipts, err := g.cfg.Standings(ctx, of)
	out := make([]stand, len(all))
	for i, st := range all {
		out[i] = stand{st, receipts[st.Trip.ID]}
	}
	return out, err
}

// standing reads how things stand for one phone from a store in this process, where sharing saves nothing.
func (g *Gateway) standing(ctx context.Context, a trips.ResumeQuery) (st stand, err error) {
	st.Trip, err = g.cfg.Store.Active(ctx, a.Who)
	if errors.Is(err, trips.ErrNotFound) && a.Trip != "" {
		st.Trip, err = g.cfg.Store.Trip(ctx, a.Trip)
	}
	if errors.Is(err, trips.ErrNotFound) {
		return stand{}, nil
	}
	if err != nil {
		return st, err
	}
	id := st.Trip.ID
	if st.LastChatSeq, err = g.lastSaid(ctx, id); err != nil {
		return st, err
	}
	calls, err := g.cfg.Alerts.AlertsOf(ctx, a.Who, id)
	if err != nil {
		return st, fmt.Errorf("calls for help on trip %s: %w", id, err)
	}
	for _, c := range calls {
		st.SOSAcked = st.SOSAcked || !c.AckedAt.IsZero()
	}
	if st.Trip.State != trips.Completed || a.Who != trips.Rider(st.Trip.Rider) {
		return st, nil
	}
	if st.receipt, err = g.cfg.Receipts.Charge(ctx, id); errors.Is(err, trips.ErrNotFound) {
		return st, nil // it will be published
	}
	st.Paid = true
	return st, err
}

// lastSaid is the number of a trip's newest chat message.
func (g *Gateway) lastSaid(ctx context.Context, id trips.TripID) (last uint32, err error) {
	for {
		said, err := g.cfg.Room.Store.History(ctx, id, last, historySize)
		if err != nil {
			return 0, fmt.Errorf("chat of trip %s: %w", id, err)
		}
		if len(said) > 0 {
			last = said[len(said)-1].Seq
		}
		if len(said) < historySize {
			return last, nil
		}
	}
}
