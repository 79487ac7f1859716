package dispatch

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// windowMatcher gathers searches that want a driver, and matches all searches
// of a window at once. One goroutine executes run.
type windowMatcher struct {
	dispatcher *Dispatcher
	joining    chan *windowMember

	mu      sync.Mutex // guards waiting
	waiting map[trips.TripID]trips.Trip
}

// windowMember is a search in a window. The window's goroutine owns the
// search's state until the result has come. A search that left does not touch
// it any more.
type windowMember struct {
	search  *search
	hasLeft atomic.Bool
	result  chan windowResult // Of capacity 1, so that sending never blocks.
}

// windowResult is what a window found for one member.
type windowResult struct {
	assignment Assignment
	found      bool
}

// joinWindow waits until the search's window is matched. A signal that ends the
// search ends the wait. No driver is held yet.
func (w *windowMatcher) joinWindow(ctx context.Context, s *search) (p Assignment, ok bool, end outcome) {
	g := &windowMember{search: s, result: make(chan windowResult, 1)}
	hops := s.hops // the window owns the others until its result has come
	w.addWaiting(s.trip)
	defer w.removeWaiting(s.trip.ID)
	joins := w.joining
	for {
		select {
		case joins <- g:
			joins = nil
		case <-ctx.Done():
			g.hasLeft.Store(true)
			return p, false, outcomeStopped
		case f := <-g.result:
			return f.assignment, f.found, outcomeNone
		case n := <-s.signals:
			if end := s.handleSignal(ctx, n, nil); end.isFinal() {
				g.hasLeft.Store(true)
				s.recordLastWait(hops)
				return p, false, end
			}
		}
	}
}

// newWindowMatcher returns a matcher that does nothing until run.
func newWindowMatcher(d *Dispatcher) *windowMatcher {
	return &windowMatcher{dispatcher: d, joining: make(chan *windowMember), waiting: map[trips.TripID]trips.Trip{}}
}

func (w *windowMatcher) addWaiting(t trips.Trip) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[t.ID] = t
}

func (w *windowMatcher) removeWaiting(id trips.TripID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, id)
}

// listElsewhere returns the trips that wait at other dispatchers and not here:
// while a region changes hands, two may search for the same trip.
func (w *windowMatcher) listElsewhere() []trips.Trip {
	elsewhere := w.dispatcher.cfg.WaitingElsewhere()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(elsewhere, func(t trips.Trip) bool { _, here := w.waiting[t.ID]; return here })
}

// WaitingTrips appends to dst the trips that wait for a driver in this
// dispatcher's window, in no order: what other dispatchers around should leave
// drivers for. Any goroutine may call it.
func (d *Dispatcher) WaitingTrips(dst []trips.Trip) []trips.Trip {
	d.windows.mu.Lock()
	defer d.windows.mu.Unlock()
	for _, t := range d.windows.waiting {
		dst = append(dst, t)
	}
	return dst
}

// FindRivals returns the candidates of trips that wait at other dispatchers.
// They take part in a matching, so that each driver is left to the trip that
// gains most, and get no offer by it. Without them, several dispatchers of one
// city send drivers to trips that are far, because each sees only the few trips
// of its own. It does not know which drivers have declined.
func FindRivals(f DriverFinder, waiting []trips.Trip, p Policy, r Rules, now time.Time) (rivals []Candidates) {
	for _, t := range waiting {
		if ask, ok := NewSearchState(t, p, r).FindCandidates(f, p.MinCandidates(), now); ok {
			rivals = append(rivals, ask)
		}
	}
	return rivals
}

// run closes one window after the other until ctx ends. Members that are left
// then leave by themselves.
func (w *windowMatcher) run(ctx context.Context) {
	var waiting []*windowMember
	var lastClosed time.Time

	timer := time.NewTimer(0)
	if !timer.Stop() {
		<-timer.C
	}
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case g := <-w.joining:
			if waiting = append(waiting, g); len(waiting) == 1 {
				now := w.dispatcher.cfg.Now()
				timer.Reset(w.dispatcher.cfg.Policy.CloseTime(now, lastClosed).Sub(now))
			}
		case <-timer.C:
			w.matchWindow(ctx, waiting)
			waiting, lastClosed = nil, w.dispatcher.cfg.Now()
		}
	}
}

// matchWindow finds candidates for all members at the same moment, matches
// them, and sends each member its result.
func (w *windowMatcher) matchWindow(ctx context.Context, members []*windowMember) {
	members = slices.DeleteFunc(members, func(g *windowMember) bool { return g.hasLeft.Load() })
	searches, states := make([]*search, len(members)), make([]*SearchState, len(members))
	for i, g := range members {
		searches[i], states[i] = g.search, g.search.state
	}
	r := w.dispatcher.beginRound(searches...)
	r.noteLookedAround(w.dispatcher.lookAround(ctx, states))

	var window []Candidates
	now, policy := w.dispatcher.cfg.Now(), w.dispatcher.cfg.Policy
	for _, g := range members {
		if ask, ok := g.search.state.FindCandidates(w.dispatcher.cfg.Drivers, policy.MinCandidates(), now); ok {
			window = append(window, ask)
		}
	}

	r.noteCandidates(window...)

	w.dispatcher.metrics.windowTrips.Observe(float64(len(members)))
	pairs := map[trips.TripID]Assignment{}
	if len(window) > 0 {
		// Drivers whom the cheapest matching gives to trips of other
		// dispatchers are left to them.
		window = append(window, FindRivals(w.dispatcher.cfg.Drivers, w.listElsewhere(), policy, w.dispatcher.cfg.Rules, now)...)
		for _, p := range policy.Matcher.MatchWindow(r.contextOf(ctx), window) {
			pairs[p.Trip] = p
		}
		r.noteMatched()
	}

	shared, waits := r.settle(pairs)
	for _, g := range members {
		pair, ok := pairs[g.search.state.Trip.ID]
		g.result <- windowResult{pair, ok}
	}
	r.record(shared, waits)
}
