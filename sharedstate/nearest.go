package sharedstate

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Nearest appends to dst the k nearest drivers who may be offered a trip:
// available, connected, heard within SuspectAfter, and at most maxMetres away.
// The nearest comes first. A search may miss a driver who crosses from cell to
// cell at that moment. A copy may be out of date when it is read: Reserve
// decides.
func (d *Drivers) Nearest(p location.Point, k int, maxMetres float64, dst []NearbyDriver) []NearbyDriver {
	s := searchPool.Get().(*nearestSearch)
	defer searchPool.Put(s)

	s.resetFor(p, k, maxMetres, true, d.heardSince(d.opts.SuspectAfter))
	s.searchIndex(d.cells)

	from, now := len(dst), d.opts.Now().UnixNano()
	for _, f := range s.found {
		if n := f.copyDriver(&s.plane, now); n.Status == Available && n.Connected {
			dst = append(dst, n)
		}
	}

	slices.SortFunc(dst[from:], func(a, b NearbyDriver) int { return cmp.Compare(a.Metres, b.Metres) })
	return dst
}

// FindAround appends to dst the nearest drivers in any state, for maps: heard
// within OfflineAfter, nearest first, at most limit.
func (d *Drivers) FindAround(p location.Point, metres float64, limit int, dst []Driver) []Driver {
	s := searchPool.Get().(*nearestSearch)
	defer searchPool.Put(s)

	s.resetFor(p, limit, metres, false, d.heardSince(d.opts.OfflineAfter))
	s.searchIndex(d.cells)
	for _, f := range s.found {
		dst = append(dst, f.copyDriver(&s.plane, 0).Driver)
	}
	return dst
}

// CountFree returns, by cell, how many drivers could be offered a trip, of all
// nodes.
func (d *Drivers) CountFree() map[location.Cell]int {
	since := d.heardSince(d.opts.SuspectAfter)
	free := map[location.Cell]int{}
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		for _, e := range s.byID {
			if e.isFree() && e.cell != nil && !e.driver.ReceivedAt.Before(since) {
				free[e.driver.Cell]++
			}
		}
		s.mu.RUnlock()
	}
	return free
}

// searchPool reuses searches, so that a search allocates only its answer.
var searchPool = sync.Pool{New: func() any { return new(nearestSearch) }}

// candidate is a driver found, with the squared distance.
type candidate struct {
	squaredMetres float64
	entry         *entry
}

// copyDriver copies the driver's current state. The driver may have moved a
// little since the search.
func (c candidate) copyDriver(flat *location.LocalPlane, now int64) (n NearbyDriver) {
	s := c.entry.shard
	s.mu.RLock()
	n.Driver = c.entry.driver
	n.Idle = max(0, time.Duration(now-c.entry.idleSince))
	s.mu.RUnlock()
	n.Metres = flat.MetresTo(n.Fix.Point)
	return n
}

// nearestSearch is one search and the best candidates so far. It belongs to one
// goroutine at a time.
type nearestSearch struct {
	// The question.
	plane     location.LocalPlane // Distances from origin.
	origin    location.Point
	limit     int
	freeOnly  bool  // Only drivers who may be offered a trip.
	seenSince int64 // Only drivers heard since, Unix nanoseconds.
	maxMetres float64

	// The answer so far.
	maxSquared  float64     // Square metres; nothing beyond can enter.
	found       []candidate // The best so far, nearest first.
	parentOrder []reachableParent
}

// reachableParent is a parent cell with the distance of its nearest point.
type reachableParent struct {
	metres float64
	parent *parentCell
}

// resetFor makes a pooled search ready for a new question.
func (s *nearestSearch) resetFor(p location.Point, k int, metres float64, free bool, since time.Time) {
	clear(s.found[:cap(s.found)]) // An old answer keeps no driver alive.
	*s = nearestSearch{plane: location.NewLocalPlane(p), origin: p, limit: k, freeOnly: free, seenSince: since.UnixNano(), maxMetres: metres,
		maxSquared: metres * metres, found: s.found[:0], parentOrder: s.parentOrder[:0]}
}

// searchIndex scans the rings around the origin. It goes on with parent cells
// when the rings end before the answer is certain.
func (s *nearestSearch) searchIndex(g *cellIndex) {
	if s.limit <= 0 || !(s.maxMetres >= 0) || s.origin.CheckRange() != nil {
		return
	}
	if t := g.findCell(s.origin); t == nil || !s.scanRings(g, t) {
		s.scanParents(g)
	}
}

// scanRings scans ring by ring. It returns true as soon as nothing outside the
// scanned rings can be nearer than what was found.
func (s *nearestSearch) scanRings(g *cellIndex, t *cell) (certain bool) {
	r := g.ringsAround(t)
	if r == nil {
		return false
	}

	off := s.plane.MetresTo(t.hexagon.Centre)
	for i := range r.cells {
		for _, t := range r.cells[i] {
			s.scanCell(t)
		}
		if reach := r.minOutside[i] - off; reach > 0 && reach*reach > s.maxSquared {
			return true
		}
	}

	return false
}

// scanParents scans the parent cells that have drivers, the nearest first,
// until no further one can improve the answer.
func (s *nearestSearch) scanParents(g *cellIndex) {
	for _, b := range g.allParents() {
		if b.driverCount.Load() == 0 {
			continue
		}
		_, radius := b.snapshotCells()
		if m := max(0, s.plane.MetresTo(b.centre)-radius); m*m <= s.maxSquared {
			s.parentOrder = append(s.parentOrder, reachableParent{m, b})
		}
	}
	slices.SortFunc(s.parentOrder, func(a, b reachableParent) int { return cmp.Compare(a.metres, b.metres) })

	for _, o := range s.parentOrder {
		if o.metres*o.metres > s.maxSquared {
			return
		}
		tiles, _ := o.parent.snapshotCells()
		for _, t := range tiles {
			s.scanCell(t)
		}
	}
}

// scanCell adds the cell's drivers that are nearer than the worst candidate.
func (s *nearestSearch) scanCell(t *cell) {
	if t.driverCount.Load() == 0 || (s.freeOnly && t.freeCount.Load() == 0) || s.isOutOfReach(t) {
		return
	}

	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.drivers {
		c := &t.drivers[i]
		if (s.freeOnly && !c.free) || c.seenNanos < s.seenSince {
			continue
		}
		if sq := s.plane.SquaredMetres(c.point); sq <= s.maxSquared {
			s.insertCandidate(candidate{sq, c.entry})
		}
	}
}

// isOutOfReach reports whether no driver of the cell can be near enough.
func (s *nearestSearch) isOutOfReach(t *cell) bool {
	m := math.Sqrt(s.maxSquared) + t.hexagon.Radius
	return s.plane.SquaredMetres(t.hexagon.Centre) > m*m
}

// insertCandidate inserts a candidate in order. A driver comes twice if it
// crossed a border during the search, or if its cell was scanned in a ring and
// again in a parent. The nearer reading stays.
func (s *nearestSearch) insertCandidate(c candidate) {
	if i := slices.IndexFunc(s.found, func(f candidate) bool { return f.entry == c.entry }); i >= 0 {
		if s.found[i].squaredMetres <= c.squaredMetres {
			return
		}
		s.found = slices.Delete(s.found, i, i+1)
	}

	i, _ := slices.BinarySearchFunc(s.found, c, func(a, b candidate) int { return cmp.Compare(a.squaredMetres, b.squaredMetres) })
	if len(s.found) < s.limit {
		s.found = append(s.found, candidate{})
	} else if i == s.limit {
		return
	}

	copy(s.found[i+1:], s.found[i:])
	s.found[i] = c
	if len(s.found) == s.limit {
		s.maxSquared = min(s.maxSquared, s.found[s.limit-1].squaredMetres)
	}
}
