package dispatch

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// windowMatcher gathers searches that want a driver, and matches all searches
// of a window at once. One goroutine executes run.
type windowMatcher struct {
	dispatcher *Dispatcher
	joining    chan *windowMember
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
				return p, false, end
			}
		}
	}
}

// newWindowMatcher returns a matcher that does nothing until run.
func newWindowMatcher(d *Dispatcher) *windowMatcher {
	return &windowMatcher{dispatcher: d, joining: make(chan *windowMember)}
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
	states := make([]*SearchState, len(members))
	for i, g := range members {
		states[i] = g.search.state
	}
	w.dispatcher.lookAround(ctx, states)

	var window []Candidates
	now, policy := w.dispatcher.cfg.Now(), w.dispatcher.cfg.Policy
	for _, g := range members {
		if ask, ok := g.search.state.FindCandidates(w.dispatcher.cfg.Drivers, policy.MinCandidates(), now); ok {
			window = append(window, ask)
		}
	}

	w.dispatcher.metrics.windowTrips.Observe(float64(len(members)))
	pairs := map[trips.TripID]Assignment{}
	if len(window) > 0 {
		for _, p := range policy.Matcher.MatchWindow(ctx, window) {
			pairs[p.Trip] = p
		}
	}

	for _, g := range members {
		pair, ok := pairs[g.search.state.Trip.ID]
		g.result <- windowResult{pair, ok}
	}
}
