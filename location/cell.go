package location

import (
	"fmt"
	"math"
	"strconv"

	"github.com/uber/h3-go/v4"
)

// CellResolution is the H3 resolution of a Cell. Its hexagons cover about 0.1
// km², which a driver crosses in half a minute.
const CellResolution = 9

// parentResolution is two steps coarser than CellResolution. One parent holds
// 49 cells.
const parentResolution = CellResolution - 2

// Cell is an H3 index of CellResolution. The zero value means no cell.
type Cell uint64

// String returns the index in hexadecimal, as H3 writes it.
func (c Cell) String() string { return strconv.FormatUint(uint64(c), 16) }

// MarshalText returns the index in hexadecimal.
func (c Cell) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// CellOf returns the cell that contains p, or an error that wraps ErrPoint. It
// calls into C, which takes about a microsecond. Hexagon.Contains tells cheaply
// when the call is not needed.
func CellOf(p Point) (Cell, error) {
	if err := p.CheckRange(); err != nil {
		return 0, err
	}
	c, err := h3.LatLngToCell(h3.NewLatLng(p.Lat, p.Lng), CellResolution)
	if err != nil {
		return 0, fmt.Errorf("cell of %v: %w", p, err)
	}
	return Cell(c), nil
}

// ParentCell returns the cell's ancestor at parentResolution, or 0 when c is
// not a valid cell.
func (c Cell) ParentCell() Cell {
	p, err := h3.Cell(c).Parent(parentResolution)
	if err != nil {
		return 0
	}
	return Cell(p)
}

// RingsAround returns the cells at each grid distance from 0 to k. It caps k
// at 20.
func (c Cell) RingsAround(k int) ([][]Cell, error) {
	rings, err := h3.GridDiskDistances(h3.Cell(c), min(k, 20))
	if err != nil {
		return nil, fmt.Errorf("rings of %s: %w", c, err)
	}

	out := make([][]Cell, len(rings))
	for i, ring := range rings {
		for _, n := range ring {
			if n != 0 { // Rings around a pentagon have holes.
				out[i] = append(out[i], Cell(n))
			}
		}
	}

	return out, nil
}

// Centre returns the centre of the cell.
func (c Cell) Centre() (Point, error) {
	at, err := h3.Cell(c).LatLng()
	if err != nil {
		return Point{}, fmt.Errorf("centre of %s: %w", c, err)
	}
	return Point{Lng: at.Lng, Lat: at.Lat}, nil
}

// Boundary returns the corners of the cell, anticlockwise. It does not repeat
// the first corner.
func (c Cell) Boundary() ([]Point, error) {
	corners, err := h3.Cell(c).Boundary()
	if err != nil {
		return nil, fmt.Errorf("boundary of %s: %w", c, err)
	}

	out := make([]Point, len(corners))
	for i, v := range corners {
		out[i] = Point{Lng: v.Lng, Lat: v.Lat}
	}
	return out, nil
}

// Hexagon is the shape of a cell. Callers keep it, so that a driver's cell is
// computed again only when the driver may have left it.
type Hexagon struct {
	Cell   Cell
	Centre Point
	// The largest circle inside the cell covers nine tenths of it. A point, in
	// degrees from the centre, is in the circle when x*lng² + y*lat² < 1.
	inner struct{ x, y float64 }
	// Radius is in metres. No point of the cell is farther from the centre.
	Radius float64
	edges  [6]halfPlane
}

// halfPlane is the inner side of one edge, in degrees from the centre. A point
// is inside when x*lng + y*lat < limit.
type halfPlane struct{ x, y, limit float64 }

// edgeMargin is the distance from an edge, in metres, within which Contains
// gives no answer. A true edge is a great circle. The straight line used here
// differs from it by millimetres.
const edgeMargin = 0.5

// HexagonOf returns the shape of a cell.
func HexagonOf(c Cell) (Hexagon, error) {
	centre, err := c.Centre()
	if err != nil {
		return Hexagon{}, err
	}

	corners, err := h3.Cell(c).Boundary()
	if err != nil {
		return Hexagon{}, fmt.Errorf("boundary of %s: %w", c, err)
	}

	h := Hexagon{Cell: c, Centre: centre}
	for _, v := range corners {
		h.Radius = max(h.Radius, MetresBetween(centre, Point{Lng: v.Lng, Lat: v.Lat})+edgeMargin)
	}
	h.computeEdges(corners)
	return h, nil
}

// computeEdges fills in the edges and the inner circle. Some shapes keep empty
// edges, so that Contains is never certain of them: pentagons, cells that H3
// bends over an edge of its icosahedron, and cells on the date line or near the
// poles.
func (h *Hexagon) computeEdges(corners []h3.LatLng) {
	if len(corners) != len(h.edges) || math.Abs(h.Centre.Lat) > 75 || math.Abs(h.Centre.Lng) > 179 {
		return
	}
	kx, ky := metresPerDegree*math.Cos(h.Centre.Lat*rad), metresPerDegree
	within := math.Inf(1)
	for i, v := range corners {
		w := corners[(i+1)%len(corners)]
		x0, y0 := (v.Lng-h.Centre.Lng)*kx, (v.Lat-h.Centre.Lat)*ky
		x1, y1 := (w.Lng-h.Centre.Lng)*kx, (w.Lat-h.Centre.Lat)*ky
		nx, ny := y1-y0, x0-x1 // Outward: H3 lists corners anticlockwise.
		length := math.Hypot(nx, ny)
		nx, ny = nx/length, ny/length
		h.edges[i] = halfPlane{x: nx * kx, y: ny * ky, limit: nx*x0 + ny*y0 - edgeMargin}
		within = min(within, h.edges[i].limit)
	}

	if within > 0 {
		h.inner.x, h.inner.y = kx*kx/(within*within), ky*ky/(within*within)
	}
}

// Contains reports whether p is certainly in the cell. False near an edge does
// not mean outside: the caller asks CellOf.
func (h *Hexagon) Contains(p Point) bool {
	dLng, dLat := p.Lng-h.Centre.Lng, p.Lat-h.Centre.Lat
	if h.inner.x > 0 && h.inner.x*dLng*dLng+h.inner.y*dLat*dLat < 1 {
		return true // The usual case. It spares loading the edges from memory.
	}

	for i := range h.edges {
		if e := &h.edges[i]; !(e.x*dLng+e.y*dLat < e.limit) {
			return false
		}
	}

	return true
}
