package sharedstate

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Nearest appends the k nearest drivers who may be offered a trip: available,
// connected, heard of within SuspectAfter, at most maxMetres away, nearest
// first. A driver who crosses from cell to cell just then may be missed by this
// one search. A copy may be out of date when it is read; Reserve decides.
func (d *Drivers) Nearest(p location.Point, k int, maxMetres float64, dst []Near) []Near {
	s := scratch.Get().(*search)
	defer scratch.Put(s)

	s.start(p, k, maxMetres, true, d.heardSince(d.opts.SuspectAfter))
	s.run(d.ground)

	from, now := len(dst), d.opts.Now().UnixNano()
	for _, f := range s.found {
		if n := f.copy(&s.flat, now); n.Status == Available && n.Connected {
			dst = append(dst, n)
		}
	}

	slices.SortFunc(dst[from:], func(a, b Near) int { return cmp.Compare(a.Metres, b.Metres) })
	return dst
}

// Around appends the nearest drivers in any state, for maps: heard of within
// OfflineAfter, nearest first, at most limit.
func (d *Drivers) Around(p location.Point, metres float64, limit int, dst []Driver) []Driver {
	s := scratch.Get().(*search)
	defer scratch.Put(s)

	s.start(p, limit, metres, false, d.heardSince(d.opts.OfflineAfter))
	s.run(d.ground)
	for _, f := range s.found {
		dst = append(dst, f.copy(&s.flat, 0).Driver)
	}
	return dst
}

// FreePoints appends where the drivers are who could be offered a trip, of all
// nodes and in no order.
func (d *Drivers) FreePoints(dst []location.Point) []location.Point {
	since := d.heardSince(d.opts.SuspectAfter)
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		for _, e := range s.byID {
			if e.free() && e.d.Located() && !e.d.ReceivedAt.Before(since) {
				dst = append(dst, e.d.Fix.Point)
			}
		}
		s.mu.RUnlock()
	}
	return dst
}

var scratch = sync.Pool{New: func() any { return new(search) }}

// candidate is a car found, by its squared distance.
type candidate struct {
	square float64
	e      *entry
}

// copy reads the driver as they are now, who may have moved on a little since
// the search.
func (c candidate) copy(flat *location.Flat, now int64) (n Near) {
	s := c.e.shard
	s.mu.RLock()
	n.Driver = c.e.d
	n.Idle = max(0, time.Duration(now-c.e.idleSince))
	s.mu.RUnlock()
	n.Metres = flat.Metres(n.Fix.Point)
	return n
}

// search is one question: the best k so far, sorted, and how far is too far.
type search struct {
	flat  location.Flat
	from  location.Point
	k     int
	free  bool  // only drivers who may be offered a trip
	since int64 // only drivers heard of since
	limit float64
	far   float64 // squared: nothing beyond this can enter
	found []candidate
	order []reachable
}

// reachable is a block by the distance of its nearest point.
type reachable struct {
	metres float64
	b      *block
}

func (s *search) start(p location.Point, k int, metres float64, free bool, since time.Time) {
	clear(s.found[:cap(s.found)]) // no driver is kept alive by an old answer
	*s = search{flat: location.FlatAt(p), from: p, k: k, free: free, since: since.UnixNano(), limit: metres,
		far: metres * metres, found: s.found[:0], order: s.order[:0]}
}

// run looks through the rings around the point, and goes over to blocks when
// these end before the answer is certain.
func (s *search) run(g *ground) {
	if s.k <= 0 || !(s.limit >= 0) || s.from.Check() != nil {
		return
	}
	if t := g.find(s.from); t == nil || !s.throughRings(g, t) {
		s.throughBlocks(g)
	}
}

// throughRings stops as soon as nothing outside the rings seen can be nearer
// than what was found.
func (s *search) throughRings(g *ground, t *tile) (certain bool) {
	r := g.ringsOf(t)
	if r == nil {
		return false
	}

	off := s.flat.Metres(t.shape.Centre)
	for i := range r.tiles {
		for _, t := range r.tiles[i] {
			s.lookInto(t)
		}
		if reach := r.reach[i] - off; reach > 0 && reach*reach > s.far {
			return true
		}
	}

	return false
}

func (s *search) throughBlocks(g *ground) {
	for _, b := range g.allBlocks() {
		if b.n.Load() == 0 {
			continue
		}
		_, radius := b.look()
		if m := max(0, s.flat.Metres(b.centre)-radius); m*m <= s.far {
			s.order = append(s.order, reachable{m, b})
		}
	}
	slices.SortFunc(s.order, func(a, b reachable) int { return cmp.Compare(a.metres, b.metres) })

	for _, o := range s.order {
		if o.metres*o.metres > s.far {
			return
		}
		tiles, _ := o.b.look()
		for _, t := range tiles {
			s.lookInto(t)
		}
	}
}

// lookInto takes the tile's cars that are nearer than the worst kept.
func (s *search) lookInto(t *tile) {
	if t.n.Load() == 0 || (s.free && t.free.Load() == 0) || s.beyond(t) {
		return
	}

	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.cars {
		c := &t.cars[i]
		if (s.free && !c.free) || c.seen < s.since {
			continue
		}
		if sq := s.flat.Square(c.at); sq <= s.far {
			s.take(candidate{sq, c.e})
		}
	}
}

// beyond says that no car of the tile can be near enough.
func (s *search) beyond(t *tile) bool {
	m := math.Sqrt(s.far) + t.shape.Radius
	return s.flat.Square(t.shape.Centre) > m*m
}

// take inserts a candidate in order. A car that crossed over during the search,
// or a tile seen in a ring and again in a block, comes twice; the nearer
// reading stays.
func (s *search) take(c candidate) {
	if i := slices.IndexFunc(s.found, func(f candidate) bool { return f.e == c.e }); i >= 0 {
		if s.found[i].square <= c.square {
			return
		}
		s.found = slices.Delete(s.found, i, i+1)
	}

	i, _ := slices.BinarySearchFunc(s.found, c, func(a, b candidate) int { return cmp.Compare(a.square, b.square) })
	if len(s.found) < s.k {
		s.found = append(s.found, candidate{})
	} else if i == s.k {
		return
	}

	copy(s.found[i+1:], s.found[i:])
	s.found[i] = c
	if len(s.found) == s.k {
		s.far = min(s.far, s.found[s.k-1].square)
	}
}
