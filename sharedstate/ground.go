package sharedstate

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ridehail/ridehail/location"
)

// ground is the land as drivers use it: the H3 cells somebody was in, each with
// the cars in it. Tiles are never removed; their number is bounded by the land
// drivers visit.
type ground struct {
	mu     sync.RWMutex
	tiles  map[location.Cell]*tile
	blocks map[location.Cell]*block
	all    []*block // the same; replaced, never changed

	// corners remembers which tile a small square of the map was in last, so
	// that finding a point's cell seldom needs H3. Squares 114 km apart share a
	// place; a wrong guess only costs time.
	corners [side * side]atomic.Pointer[tile]
}

const (
	side      = 512
	perDegree = 450 // squares per degree: 250 m
	ringsOut  = 3
)

// tile is one cell and the cars in it.
type tile struct {
	shape location.Hexagon
	block *block
	rings atomic.Pointer[rings] // made when somebody first searches from here

	n atomic.Int32 // len(cars)
	// of these, who may be offered a trip: in a busy city most tiles have none
	free atomic.Int32
	mu   sync.RWMutex
	cars []car // packed, in no order; car.e.slot is its index
}

// car is what a search must know of a driver, side by side in memory.
type car struct {
	at   location.Point
	seen int64 // our clock, Unix nanoseconds
	e    *entry
	free bool
}

// rings are the tiles around one, nearest first.
type rings struct {
	tiles [ringsOut + 1][]*tile
	// no tile outside rings 0..i is nearer to the centre than this
	reach [ringsOut + 1]float64
}

// block is a coarse cell, for searches beyond the rings.
type block struct {
	centre location.Point
	mu     sync.RWMutex
	tiles  []*tile // replaced, never changed
	radius float64 // no point of any tile is farther from the centre
	n      atomic.Int64
}

func newGround() *ground {
	return &ground{tiles: map[location.Cell]*tile{}, blocks: map[location.Cell]*block{}}
}

// put writes the entry's facts into its tile, adding the car if it is not
// there. The caller holds the shard's lock.
func (t *tile) put(e *entry) {
	c := car{at: e.d.Fix.Point, seen: e.d.ReceivedAt.UnixNano(), e: e, free: e.free()}
	t.mu.Lock()
	defer t.mu.Unlock()

	if i := int(e.slot.Load()); i < len(t.cars) && t.cars[i].e == e {
		t.countLocked(c.free, t.cars[i].free)
		t.cars[i] = c
		return
	}
	t.countLocked(c.free, false)
	e.slot.Store(int32(len(t.cars)))
	t.cars = append(t.cars, c)
	t.n.Add(1)
	t.block.n.Add(1)
}

// drop takes the car out. The caller holds the shard's lock.
func (t *tile) drop(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()

	i, last := int(e.slot.Load()), len(t.cars)-1
	t.countLocked(false, t.cars[i].free)
	t.cars[i] = t.cars[last]
	t.cars[i].e.slot.Store(int32(i))
	t.cars[last] = car{}
	t.cars = t.cars[:last]

	t.n.Add(-1)
	t.block.n.Add(-1)
}

// countLocked notes that a car became free, or no longer is.
func (t *tile) countLocked(is, was bool) {
	switch {
	case is && !was:
		t.free.Add(1)
	case was && !is:
		t.free.Add(-1)
	}
}

func square(p location.Point) int {
	x, y := int(math.Floor(p.Lng*perDegree)), int(math.Floor(p.Lat*perDegree))
	return (x&(side-1))*side + y&(side-1)
}

// guess returns the tile of a point when that is certain without asking H3;
// near is where the car was, if it was.
func (g *ground) guess(p location.Point, near *tile) *tile {
	for _, t := range [...]*tile{near, g.corners[square(p)].Load()} {
		if t == nil {
			continue
		}
		if t.shape.Contains(p) {
			return t
		}
		if n := t.neighbour(p); n != nil {
			return n
		}
	}
	return nil
}

// neighbour returns the tile beside t that certainly contains p, if t's rings
// are known.
func (t *tile) neighbour(p location.Point) *tile {
	r := t.rings.Load()
	if r == nil {
		return nil
	}

	for _, n := range r.tiles[1] {
		if n.shape.Contains(p) {
			return n
		}
	}

	return nil
}

// find returns the tile of a point, or nil when nobody was ever there. It makes
// nothing, so that strangers' questions cost no memory.
func (g *ground) find(p location.Point) *tile {
	if t := g.guess(p, nil); t != nil {
		return t
	}
	c, err := location.CellOf(p)
	if err != nil {
		return nil
	}

	g.mu.RLock()
	t := g.tiles[c]
	g.mu.RUnlock()

	if t != nil {
		g.corners[square(p)].Store(t)
	}
	return t
}

// tileAt returns the tile of a point, made if need be; nil when the point is
// not on Earth.
func (g *ground) tileAt(p location.Point, near *tile) *tile {
	if t := g.guess(p, near); t != nil {
		return t
	}
	c, err := location.CellOf(p)
	if err != nil {
		return nil
	}

	t := g.tile(c)
	if t != nil {
		g.corners[square(p)].Store(t)
	}
	return t
}

// tile returns the tile of a cell, made if need be.
func (g *ground) tile(c location.Cell) *tile {
	g.mu.RLock()
	t := g.tiles[c]
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

	if t := g.tiles[c]; t != nil {
		return t
	}
	b := g.blocks[parent]
	if b == nil {
		b = &block{centre: middle}
		g.blocks[parent] = b
		g.all = append(slices.Clip(g.all), b)
	}

	t = &tile{shape: shape, block: b}
	g.tiles[c] = t
	b.add(t)
	return t
}

func (b *block) add(t *tile) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tiles = append(slices.Clip(b.tiles), t)
	b.radius = max(b.radius, location.Metres(b.centre, t.shape.Centre)+t.shape.Radius)
}

func (b *block) look() ([]*tile, float64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.tiles, b.radius
}

func (g *ground) allBlocks() []*block {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.all
}

// ringsOf returns the tiles around t.
func (g *ground) ringsOf(t *tile) *rings {
	if r := t.rings.Load(); r != nil {
		return r
	}

	cells, err := t.shape.Cell.Rings(ringsOut + 1)
	if err != nil {
		return nil
	}

	r := &rings{}
	flat := location.FlatAt(t.shape.Centre)
	for i := range r.tiles {
		for _, c := range cells[i] {
			if n := g.tile(c); n != nil {
				r.tiles[i] = append(r.tiles[i], n)
			}
		}

		r.reach[i] = math.Inf(1)
		for _, c := range cells[i+1] {
			// whatever lies outside lies behind this ring
			if n := g.tile(c); n != nil {
				r.reach[i] = min(r.reach[i], flat.Metres(n.shape.Centre)-n.shape.Radius)
			}
		}
	}

	t.rings.Store(r)
	return r
}
