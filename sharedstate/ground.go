package sharedstate

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ridehail/ridehail/location"
)

// cellIndex is the land as drivers use it: the H3 cells somebody was in, each with
// the cars in it. Tiles are never removed; their number is bounded by the land
// drivers visit.
type cellIndex struct {
	mu         sync.RWMutex
	cells      map[location.Cell]*cell
	parents    map[location.Cell]*parentCell
	parentList []*parentCell // the same; replaced, never changed

	// recentCells remembers which tile a small square of the map was in last, so
	// that finding a point's cell seldom needs H3. Squares 114 km apart share a
	// place; a wrong guess only costs time.
	recentCells [gridSide * gridSide]atomic.Pointer[cell]
}

const (
	gridSide      = 512
	gridPerDegree = 450 // squares per degree: 250 m
	ringCount     = 3
)

// cell is one cell and the cars in it.
type cell struct {
	hexagon location.Hexagon
	parent  *parentCell
	rings   atomic.Pointer[ringSet] // made when somebody first searches from here

	driverCount atomic.Int32 // len(cars)
	// of these, who may be offered a trip: in a busy city most tiles have none
	freeCount atomic.Int32
	mu        sync.RWMutex
	drivers   []cellDriver // packed, in no order; cellDriver.entry.slot is its index
}

// cellDriver is what a search must know of a driver, side by side in memory.
type cellDriver struct {
	point     location.Point
	seenNanos int64 // our clock, Unix nanoseconds
	entry     *entry
	free      bool
}

// ringSet are the tiles around one, nearest first.
type ringSet struct {
	cells [ringCount + 1][]*cell
	// no tile outside rings 0..i is nearer to the centre than this
	minOutside [ringCount + 1]float64
}

// parentCell is a coarse cell, for searches beyond the rings.
type parentCell struct {
	centre      location.Point
	mu          sync.RWMutex
	cells       []*cell // replaced, never changed
	radius      float64 // no point of any tile is farther from the centre
	driverCount atomic.Int64
}

func newCellIndex() *cellIndex {
	return &cellIndex{cells: map[location.Cell]*cell{}, parents: map[location.Cell]*parentCell{}}
}

// putDriver writes the entry's facts into its tile, adding the car if it is not
// there. The caller holds the shard's lock.
func (t *cell) putDriver(e *entry) {
	c := cellDriver{point: e.driver.Fix.Point, seenNanos: e.driver.ReceivedAt.UnixNano(), entry: e, free: e.isFree()}
	t.mu.Lock()
	defer t.mu.Unlock()

	if i := int(e.cellSlot.Load()); i < len(t.drivers) && t.drivers[i].entry == e {
		t.adjustFreeLocked(c.free, t.drivers[i].free)
		t.drivers[i] = c
		return
	}
	t.adjustFreeLocked(c.free, false)
	e.cellSlot.Store(int32(len(t.drivers)))
	t.drivers = append(t.drivers, c)
	t.driverCount.Add(1)
	t.parent.driverCount.Add(1)
}

// removeDriver takes the car out. The caller holds the shard's lock.
func (t *cell) removeDriver(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()

	i, last := int(e.cellSlot.Load()), len(t.drivers)-1
	t.adjustFreeLocked(false, t.drivers[i].free)
	t.drivers[i] = t.drivers[last]
	t.drivers[i].entry.cellSlot.Store(int32(i))
	t.drivers[last] = cellDriver{}
	t.drivers = t.drivers[:last]

	t.driverCount.Add(-1)
	t.parent.driverCount.Add(-1)
}

// adjustFreeLocked notes that a car became free, or no longer is.
func (t *cell) adjustFreeLocked(is, was bool) {
	switch {
	case is && !was:
		t.freeCount.Add(1)
	case was && !is:
		t.freeCount.Add(-1)
	}
}

func gridSlot(p location.Point) int {
	x, y := int(math.Floor(p.Lng*gridPerDegree)), int(math.Floor(p.Lat*gridPerDegree))
	return (x&(gridSide-1))*gridSide + y&(gridSide-1)
}

// cachedCell returns the tile of a point when that is certain without asking H3;
// near is where the car was, if it was.
func (g *cellIndex) cachedCell(p location.Point, near *cell) *cell {
	for _, t := range [...]*cell{near, g.recentCells[gridSlot(p)].Load()} {
		if t == nil {
			continue
		}
		if t.hexagon.Contains(p) {
			return t
		}
		if n := t.neighbourAt(p); n != nil {
			return n
		}
	}
	return nil
}

// neighbourAt returns the tile beside t that certainly contains p, if t's rings
// are known.
func (t *cell) neighbourAt(p location.Point) *cell {
	r := t.rings.Load()
	if r == nil {
		return nil
	}

	for _, n := range r.cells[1] {
		if n.hexagon.Contains(p) {
			return n
		}
	}

	return nil
}

// findCell returns the tile of a point, or nil when nobody was ever there. It makes
// nothing, so that strangers' questions cost no memory.
func (g *cellIndex) findCell(p location.Point) *cell {
	if t := g.cachedCell(p, nil); t != nil {
		return t
	}
	c, err := location.CellOf(p)
	if err != nil {
		return nil
	}

	g.mu.RLock()
	t := g.cells[c]
	g.mu.RUnlock()

	if t != nil {
		g.recentCells[gridSlot(p)].Store(t)
	}
	return t
}

// ensureCellAt returns the tile of a point, made if need be; nil when the point is
// not on Earth.
func (g *cellIndex) ensureCellAt(p location.Point, near *cell) *cell {
	if t := g.cachedCell(p, near); t != nil {
		return t
	}
	c, err := location.CellOf(p)
	if err != nil {
		return nil
	}

	t := g.ensureCell(c)
	if t != nil {
		g.recentCells[gridSlot(p)].Store(t)
	}
	return t
}

// ensureCell returns the tile of a cell, made if need be.
func (g *cellIndex) ensureCell(c location.Cell) *cell {
	g.mu.RLock()
	t := g.cells[c]
	g.mu.RUnlock()

	if t != nil {
		return t
	}
	shape, err := location.HexagonOf(c)
	if err != nil {
		return nil
	}

	parent := c.Block()
	middle, err := parent.Centre()
	if err != nil {
		return nil
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	if t := g.cells[c]; t != nil {
		return t
	}
	b := g.parents[parent]
	if b == nil {
		b = &parentCell{centre: middle}
		g.parents[parent] = b
		g.parentList = append(slices.Clip(g.parentList), b)
	}

	t = &cell{hexagon: shape, parent: b}
	g.cells[c] = t
	b.addCell(t)
	return t
}

func (b *parentCell) addCell(t *cell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cells = append(slices.Clip(b.cells), t)
	b.radius = max(b.radius, location.Metres(b.centre, t.hexagon.Centre)+t.hexagon.Radius)
}

func (b *parentCell) snapshot() ([]*cell, float64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.cells, b.radius
}

func (g *cellIndex) allParents() []*parentCell {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.parentList
}

// ringsAround returns the tiles around t.
func (g *cellIndex) ringsAround(t *cell) *ringSet {
	if r := t.rings.Load(); r != nil {
		return r
	}

	cells, err := t.hexagon.Cell.Rings(ringCount + 1)
	if err != nil {
		return nil
	}

	r := &ringSet{}
	flat := location.FlatAt(t.hexagon.Centre)
	for i := range r.cells {
		for _, c := range cells[i] {
			if n := g.ensureCell(c); n != nil {
				r.cells[i] = append(r.cells[i], n)
			}
		}

		r.minOutside[i] = math.Inf(1)
		for _, c := range cells[i+1] {
			// whatever lies outside lies behind this ring
			if n := g.ensureCell(c); n != nil {
				r.minOutside[i] = min(r.minOutside[i], flat.Metres(n.hexagon.Centre)-n.hexagon.Radius)
			}
		}
	}

	t.rings.Store(r)
	return r
}
