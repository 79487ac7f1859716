package location

import (
	"fmt"
	"math"
	"slices"

	"github.com/uber/h3-go/v4"
)

// Region is an H3 cell in hexadecimal. Each has one node that owns it: the one
// that dispatches its trips.
type Region string

// RegionResolution is the H3 resolution of a Region. Its cells cover about 0.1
// km², so that the regions of one city spread over several nodes.
const RegionResolution = CellResolution

// BlockResolution is the H3 resolution of a block of regions. Its cells cover
// about 250 km², and hold 2,401 regions.
const BlockResolution = 5

// OldRegionResolution is the H3 resolution of the regions of earlier builds.
const OldRegionResolution = BlockResolution

// RegionOf returns the region that contains p, or an error that wraps ErrPoint.
func RegionOf(p Point) (Region, error) { return regionAt(p, RegionResolution) }

// OldRegionOf returns the region of earlier builds that contains p, or an error
// that wraps ErrPoint. Their channels are named by it.
func OldRegionOf(p Point) (Region, error) { return regionAt(p, OldRegionResolution) }

// Contains reports whether p lies in the region, which may be one of an earlier
// build.
func (r Region) Contains(p Point) bool {
	for _, resolution := range []int{RegionResolution, OldRegionResolution} {
		if own, err := regionAt(p, resolution); err == nil && own == r {
			return true
		}
	}
	return false
}

func regionAt(p Point, resolution int) (Region, error) {
	if err := p.CheckRange(); err != nil {
		return "", err
	}
	c, err := h3.LatLngToCell(h3.NewLatLng(p.Lat, p.Lng), resolution)
	if err != nil {
		return "", fmt.Errorf("region of %v: %w", p, err)
	}
	return Region(c.String()), nil
}

// Region returns the cell as a region. The cell must be valid.
func (c Cell) Region() Region { return Region(c.String()) }

// Block returns the block that holds the region: its ancestor at
// BlockResolution. A region that is no smaller than a block, or no H3 cell, is
// its own block.
func Block(r Region) string {
	if c, ok := r.Cell(); ok && c.Resolution() > BlockResolution {
		return c.Block().String()
	}
	return string(r)
}

// The layout of an H3 index: 4 bits of mode at 59, 4 bits of resolution at 52,
// 7 bits of base cell at 45, and below it 15 digits of 3 bits, the coarsest
// first. A digit that the resolution does not use is 7.
const (
	h3Digits    = 15
	h3BaseCells = 122
	h3CellMode  = 1
)

// Cell returns the H3 cell that the region names; false when it names none.
// Only the way in which H3 writes a cell is accepted, so that two regions never
// name the same cell. It costs some ten nanoseconds: it does not call into C.
func (r Region) Cell() (Cell, bool) {
	if len(r) != 15 {
		return 0, false
	}

	var x uint64
	for i := range len(r) {
		switch d := r[i]; {
		case d >= '0' && d <= '9':
			x = x<<4 | uint64(d-'0')
		case d >= 'a' && d <= 'f':
			x = x<<4 | uint64(d-'a'+10)
		default:
			return 0, false
		}
	}

	c := Cell(x)
	return c, c.isWellFormed()
}

// isWellFormed reports whether mode, base cell and digits are those of a cell.
// It accepts the few indexes that fall into the gap of a pentagon.
func (c Cell) isWellFormed() bool {
	if c>>56 != h3CellMode<<3 || c>>45&0x7f >= h3BaseCells {
		return false
	}

	used := 3 * c.Resolution()
	unused := uint64(1)<<(3*h3Digits-used) - 1
	if uint64(c)&unused != unused {
		return false
	}

	// A digit is 7 when all of its three bits are set.
	digits := uint64(c) &^ unused & (1<<(3*h3Digits) - 1)
	const lowest = 0o111111111111111
	return digits&(digits>>1)&(digits>>2)&lowest == 0
}

// Resolution returns the H3 resolution of a valid cell, 0 to 15.
func (c Cell) Resolution() int { return int(c >> 52 & 0xf) }

// Block returns the ancestor at BlockResolution of a valid cell, or the cell
// itself if that is coarser. It does not call into C.
func (c Cell) Block() Cell {
	if c.Resolution() <= BlockResolution {
		return c
	}
	const below = 1<<(3*(h3Digits-BlockResolution)) - 1
	return c&^(0xf<<52) | BlockResolution<<52 | below
}

// BlocksAround returns the blocks that may hold a region with a point within
// some metres of p, nearest first. It is wrong to the safe side by less than a
// sixth of a block. It takes more than 50 km as 50 km. Errors wrap ErrPoint. It
// costs some 50 µs.
func BlocksAround(p Point, metres float64) ([]Cell, error) {
	if err := p.CheckRange(); err != nil {
		return nil, err
	}
	metres = max(0, min(metres, 50_000))

	// A block consists of whole cells of each resolution between. They are
	// looked through in place of its thousands of regions.
	step := steps[0]
	if metres > 4000 {
		step = steps[1]
	}
	centre, err := h3.LatLngToCell(h3.NewLatLng(p.Lat, p.Lng), step.resolution)
	if err != nil {
		return nil, fmt.Errorf("blocks around %v: %w", p, err)
	}
	near, err := h3.GridDiskDistances(centre, int(math.Ceil((metres/step.edge+2.5)/1.5)))
	if err != nil {
		return nil, fmt.Errorf("blocks around %v: %w", p, err)
	}

	var blocks []Cell
	for _, c := range slices.Concat(near...) {
		if c == 0 { // Rings around a pentagon have holes.
			continue
		}
		at, err := Cell(c).Centre()
		if err != nil {
			return nil, err
		}
		b := Cell(c).Block()
		if MetresBetween(p, at) <= metres+step.reach && !slices.Contains(blocks, b) {
			blocks = append(blocks, b)
		}
	}
	return blocks, nil
}

// steps are the resolutions in which areas are looked through, for small areas
// and for large ones. No edge on Earth is shorter than edge metres: the cells of
// ring n begin 1.5 n - 2 edges from the middle. No region of a cell has a point
// farther than reach metres from the cell's centre.
var steps = [...]struct {
	resolution  int
	edge, reach float64
}{{8, 330, 850}, {7, 880, 2100}}
