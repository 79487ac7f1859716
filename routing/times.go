package routing

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
)

// onFoot is the speed, in metres per second, that counts for somebody who is nowhere near a road: an answer that keeps
// one stray driver from spoiling everybody's, and that nobody is chosen for.
const onFoot = 1.4

// Times tells how long a car takes from each place to one: one backward search for all of them. It returns
// ErrOutsideCity when no road is near `to`; a place in `from` that is near no road counts as a straight walk.
func (r *Router) Times(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, error) {
	b, err := r.spot(to)
	if err != nil {
		return nil, fmt.Errorf("times to: %w", err)
	}
	times := make([]time.Duration, len(from))
	spots := make([]spot, 0, len(from))
	which := make([]int, 0, len(from))
	for i, p := range from {
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("times from place %d: %w", i, err)
		}
		if s, ok := r.city.index.nearest(p, reach); ok {
			spots, which = append(spots, s), append(which, i)
			continue
		}
		times[i] = time.Duration(location.Metres(p, to) / onFoot * float64(time.Second)).Truncate(time.Millisecond)
	}
	s := r.searches.Get().(*search)
	defer r.searches.Put(s)
	if err := r.backwards(ctx, s, b, spots); err != nil {
		return nil, err
	}
	for j, a := range spots {
		best := r.along(a, b)
		r.leave(a, func(node int32, cost uint64, _ arc) {
			if rest := s.costOf(node); rest != unreached {
				best = min(best, cost+rest)
			}
		})
		if best == unreached {
			return nil, fmt.Errorf("times from place %d: %w", which[j], ErrNoRoute)
		}
		times[which[j]] = time.Duration(best) * time.Millisecond
	}
	return times, nil
}

// backwards finds the cost from every node to b, as far as the given spots need it.
func (r *Router) backwards(ctx context.Context, s *search, b spot, spots []spot) error {
	g := r.city.graph
	wanted := make(map[int32]bool, 2*len(spots))
	for _, a := range spots {
		r.leave(a, func(node int32, _ uint64, _ arc) { wanted[node] = true })
	}
	s.begin()
	r.enter(b, func(node int32, cost uint64) { s.reach(node, cost, 0, arc{edge: -1}) })
	for taken := 1; len(wanted) > 0; taken++ {
		e, ok := s.next()
		if !ok {
			return nil
		}
		if taken%patience == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		delete(wanted, e.node)
		for _, in := range g.in[g.inAt[e.node]:g.inAt[e.node+1]] {
			s.reach(in.node, e.cost+uint64(in.ms), 0, in)
		}
	}
	return nil
}
