package dispatch

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// windows gathers searches that want a driver and matches all of a window at
// once. Its goroutine is run.
type windows struct {
	d     *Dispatcher
	joins chan *guest
}

// guest is a search in a window. Its hunt is the window's until the answer has
// come; a guest who left changes it no more.
type guest struct {
	s      *search
	left   atomic.Bool
	answer chan found // has room for the answer
}

// found is what a window has for a guest.
type found struct {
	pair Pair
	ok   bool
}

// join waits for the search's window to close. Whatever ends the search ends
// the waiting; nobody is held for it yet.
func (w *windows) join(ctx context.Context, s *search) (p Pair, ok bool, end ending) {
	g := &guest{s: s, answer: make(chan found, 1)}
	joins := w.joins
	for {
		select {
		case joins <- g:
			joins = nil
		case <-ctx.Done():
			g.left.Store(true)
			return p, false, stopped
		case f := <-g.answer:
			return f.pair, f.ok, waited
		case n := <-s.news:
			if end := s.read(ctx, n, nil); end.final() {
				g.left.Store(true)
				return p, false, end
			}
		}
	}
}

func newWindows(d *Dispatcher) *windows { return &windows{d: d, joins: make(chan *guest)} }

// run closes one window after the other until ctx ends. Guests that are left
// then leave by themselves.
func (w *windows) run(ctx context.Context) {
	var waiting []*guest
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
		case g := <-w.joins:
			if waiting = append(waiting, g); len(waiting) == 1 {
				now := w.d.cfg.Now()
				timer.Reset(w.d.cfg.Policy.Closes(now, lastClosed).Sub(now))
			}
		case <-timer.C:
			w.close(ctx, waiting)
			waiting, lastClosed = nil, w.d.cfg.Now()
		}
	}
}

// close looks around for every guest at the same moment and tells each what it
// gets.
func (w *windows) close(ctx context.Context, guests []*guest) {
	guests = slices.DeleteFunc(guests, func(g *guest) bool { return g.left.Load() })
	var window []Ask
	now, policy := w.d.cfg.Now(), w.d.cfg.Policy
	for _, g := range guests {
		if ask, ok := g.s.hunt.Ask(w.d.cfg.Drivers, policy.Enough(), now); ok {
			window = append(window, ask)
		}
	}

	w.d.m.windows.Observe(float64(len(guests)))
	pairs := map[trips.TripID]Pair{}
	if len(window) > 0 {
		for _, p := range policy.Picker.Pick(ctx, window) {
			pairs[p.Trip] = p
		}
	}

	for _, g := range guests {
		pair, ok := pairs[g.s.hunt.Trip.ID]
		g.answer <- found{pair, ok}
	}
}
