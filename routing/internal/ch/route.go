package ch

import (
	"context"
	"slices"
)

// Seed is a node where a path may begin or end. Cost is that of the way from
// the true beginning to the node, or from the node to the true end.
type Seed struct {
	Node int32
	Cost uint64
}

// Finder holds the memory of a search. One goroutine at a time may use it.
type Finder struct {
	h                *Hierarchy
	forward, reverse search
	buckets          []bucket
	filled           []int32 // nodes with an entry in their bucket
}

// NewFinder returns a finder for searches in the hierarchy.
func (h *Hierarchy) NewFinder() *Finder {
	return &Finder{h: h, forward: newSearch(len(h.rank)), reverse: newSearch(len(h.rank))}
}

// Way is a cheapest path: its first node, and its arcs as indices into those
// given to Build; there are none if it ends where it begins. Cost is Unreached
// when there is no path.
type Way struct {
	Cost  uint64
	First int32
	Arcs  []int32
}

// Route returns the cheapest path from any of the seeds to any of the others.
func (f *Finder) Route(from, to []Seed) Way {
	h := f.h
	f.seedSearch(&f.forward, from)
	f.seedSearch(&f.reverse, to)
	best, top := uint64(Unreached), int32(-1)
	for upwards := true; ; upwards = !upwards {
		one, other, links, back := &f.forward, &f.reverse, &h.up, &h.down
		if !upwards {
			one, other, links, back = other, one, back, links
		}

		if one.isExhausted(best) {
			if other.isExhausted(best) {
				break
			}
			continue
		}

		n, cost, ok := one.settleNext()
		if !ok {
			continue
		}
		if rest := other.costOf(n); rest != Unreached && cost+rest < best {
			best, top = cost+rest, n
		}
		if isStalled(one, back, n, cost) {
			continue
		}

		for _, l := range links.linksOf(n) {
			one.relaxNode(l.node, cost+uint64(l.cost), l.arc)
		}
	}

	if top < 0 {
		return Way{Cost: Unreached}
	}
	w := f.traceWay(top)
	w.Cost = best
	return w
}

// isExhausted says whether the search can find nothing cheaper than best any
// more.
func (s *search) isExhausted(best uint64) bool {
	return len(s.queue) == 0 || uint64(s.queue[0].Key) >= best
}

// isStalled says whether a node was reached by a detour: a more important node
// that was reached leads to it at less cost. The search then need not go on
// from this node.
func isStalled(s *search, back *links, n int32, cost uint64) bool {
	for _, l := range back.linksOf(n) {
		if above := s.costOf(l.node); above != Unreached && above+uint64(l.cost) < cost {
			return true
		}
	}
	return false
}

func (f *Finder) seedSearch(s *search, seeds []Seed) {
	s.reset()
	for _, at := range seeds {
		s.relaxNode(f.h.rank[at.Node], at.Cost, -1)
	}
}

// traceWay returns the path over its most important node.
func (f *Finder) traceWay(top int32) (w Way) {
	h := f.h
	var climb []int32
	begin := top
	for f.forward.via[begin] >= 0 {
		i := f.forward.via[begin]
		climb = append(climb, i)
		begin = h.rank[h.arcs[i].From]
	}

	w.First = h.node[begin]
	slices.Reverse(climb)
	for _, i := range climb {
		w.Arcs = h.unpackShortcut(i, w.Arcs)
	}

	for n := top; f.reverse.via[n] >= 0; {
		i := f.reverse.via[n]
		w.Arcs = h.unpackShortcut(i, w.Arcs)
		n = h.rank[h.arcs[i].To]
	}

	return w
}

// bucket holds, at one node, the cost from there to each target that can be
// reached by descending.
type bucket []targetCost

type targetCost struct {
	end  int32
	cost uint64
}

// Matrix returns a row for each beginning with the cost to each end, Unreached
// where there is no path. Each end searches once and leaves its cost at every
// node it passes; each beginning searches once and collects them (S. Knopp, P.
// Sanders, D. Schultes, F. Schulz, D. Wagner, Computing Many-to-Many Shortest
// Paths Using Highway Hierarchies, ALENEX 2007). It returns the context's error
// when the context ends first.
func (f *Finder) Matrix(ctx context.Context, from, to [][]Seed) ([][]uint64, error) {
	defer f.clearBuckets()
	if f.buckets == nil {
		f.buckets = make([]bucket, len(f.h.rank))
	}

	for j, seeds := range to {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f.seedSearch(&f.reverse, seeds)

		f.searchUpward(&f.reverse, &f.h.down, &f.h.up, func(n int32, cost uint64) {
			if len(f.buckets[n]) == 0 {
				f.filled = append(f.filled, n)
			}
			f.buckets[n] = append(f.buckets[n], targetCost{int32(j), cost})
		})
	}

	all := make([]uint64, len(from)*len(to))
	rows := make([][]uint64, len(from))
	for i, seeds := range from {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}

		row := all[i*len(to) : (i+1)*len(to)]
		for j := range row {
			row[j] = Unreached
		}
		f.seedSearch(&f.forward, seeds)

		f.searchUpward(&f.forward, &f.h.up, &f.h.down, func(n int32, cost uint64) {
			for _, r := range f.buckets[n] {
				row[r.end] = min(row[r.end], cost+r.cost)
			}
		})

		rows[i] = row
	}
	return rows, nil
}

func (f *Finder) clearBuckets() {
	for _, n := range f.filled {
		f.buckets[n] = f.buckets[n][:0]
	}
	f.filled = f.filled[:0]
}

// searchUpward calls do for every node above the seeds that may lie on a
// cheapest path.
func (f *Finder) searchUpward(s *search, links, back *links, do func(n int32, cost uint64)) {
	for {
		n, cost, ok := s.settleNext()
		if !ok {
			return
		}
		if isStalled(s, back, n, cost) {
			continue
		}

		do(n, cost)
		for _, l := range links.linksOf(n) {
			s.relaxNode(l.node, cost+uint64(l.cost), l.arc)
		}
	}
}
