package sharedstate

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ridehail/ridehail/location"
)

// cellIndex finds drivers by place. It holds the H3 cells that a driver was
// ever in, each with its drivers. Cells are never removed. Their number is
// bounded by the land that drivers visit.
type cellIndex struct {
	mu         sync.RWMutex // Guards the maps and the slice.
	cells      map[location.Cell]*cell
	parents    map[location.Cell]*parentCell
	parentList []*parentCell // All parents; replaced, never changed.

	// recentCells remembers which cell a small square of the map was last in,
	// so that finding a point's cell seldom needs H3. Squares 114 km apart
	// share a slot. A wrong guess only costs time.
	recentCells [gridSide * gridSide]atomic.Pointer[cell]
}

const (
	gridSide = 512
	gridPerDegree
	ringCount = 3
)

// cell is one H3 cell and the drivers in it.
type cell struct {
	hexagon location.Hexagon
	parent  *parentCell
	rings   atomic.Pointer[ringSet] // Built by the first search from here.

	driverCount atomic.Int32 // len(drivers)

	// freeCount is how many of the drivers may be offered a trip. In a busy
	// city most cells have none.
	freeCount atomic.Int32

	mu      sync.RWMutex // Guards drivers.
	drivers []cellDriver // Packed, in no order; entry.cellSlot is the index.
}

// cellDriver is what a search reads of a driver, contiguous in memory.
type cellDriver struct {
	point     location.Point
	seenNanos int64 // By our clock, Unix nanoseconds.
	entry     *entry
	free      bool
}

// ringSet holds the cells around one cell, nearest ring first.
type ringSet struct {
	cells [ringCount + 1][]*cell

	// No cell outside rings 0 to i is nearer to the centre than minOutside[i],
	// in metres.
	minOutside [ringCount + 1]float64
}

// parentCell is a coarse H3 cell, for searches beyond the rings.
type parentCell struct {
	centre location.Point // Fixed at creation.

	mu     sync.RWMutex // Guards cells and radius.
	cells  []*cell      // Replaced, never changed.
	radius float64      // Metres; covers every point of the cells.

	driverCount atomic.Int64
}

func newCellIndex() *cellIndex {
	return &cellIndex{cells: map[location.Cell]*cell{}, parents: map[location.Cell]*parentCell{}}
}

// putDriver writes the entry's facts into the cell, and adds the driver if it
// is not there. The caller holds the shard's lock.
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

// removeDriver takes the driver out. The caller holds the shard's lock.
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

// adjustFreeLocked counts a driver that became free, or no longer is.
func (t *cell) adjustFreeLocked(is, was bool) {
	switch {
	case is && !was:
		t.freeCount.Add(1)
	case was && !is:
		t.freeCount.Add(-1)
	}
}

// gridSlot returns the slot of p in recentCells.
func gridSlot(p location.Point) int {
	x, y := int(math.Floor(p.Lng*gridPerDegree)), int(math.Floor(p.Lat*gridPerDegree))
	return (x&(gridSide-1))*gridSide + y&(gridSide-1)
}

// cachedCell returns the cell of a point when that is certain without H3, or
// nil. near is the cell where the driver was before, or nil.
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

// neighbourAt returns the cell beside t that certainly contains p, or nil. It
// knows the neighbours only once t's rings were built.
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

// findCell returns the cell of a point, or nil when no driver was ever there.
// It creates nothing, so that searches cost no memory.
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

// ensureCellAt returns the cell of a point and creates it if necessary. It
// returns nil when the point is not on Earth.
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

// ensureCell returns the cell with an H3 index and creates it if necessary. It
// returns nil for an index that H3 refuses.
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

	parent := c.ParentCell()
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

// addCell adds a cell to the parent and widens the radius to cover it.
func (b *parentCell) addCell(t *cell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cells = append(slices.Clip(b.cells), t)
	b.radius = max(b.radius, location.MetresBetween(b.centre, t.hexagon.Centre)+t.hexagon.Radius)
}

// snapshotCells returns the cells, which the caller must not change, and the
// radius.
func (b *parentCell) snapshotCells() ([]*cell, float64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.cells, b.radius
}

// allParents returns the parents, which the caller must not change.
func (g *cellIndex) allParents() []*parentCell {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.parentList
}

// ringsAround returns the rings around t and builds them at the first call. It
// returns nil when H3 has none.
func (g *cellIndex) ringsAround(t *cell) *ringSet {
	if r := t.rings.Load(); r != nil {
		return r
	}

	cells, err := t.hexagon.Cell.RingsAround(ringCount + 1)
	if err != nil {
		return nil
	}

	r := &ringSet{}
	flat := location.NewLocalPlane(t.hexagon.Centre)
	for i := range r.cells {
		for _, c := range cells[i] {
			if n := g.ensureCell(c); n != nil {
				r.cells[i] = append(r.cells[i], n)
			}
		}

		r.minOutside[i] = math.Inf(1)
		for _, c := range cells[i+1] {
			// Everything farther away lies beyond this ring.
			if n := g.ensureCell(c); n != nil {
				r.minOutside[i] = min(r.minOutside[i], flat.MetresTo(n.hexagon.Centre)-n.hexagon.Radius)
			}
		}
	}

	t.rings.Store(r)
	return r
}
