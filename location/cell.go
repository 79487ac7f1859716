package location

import (
	"fmt"
	"math"
	"strconv"

	"github.com/uber/h3-go/v4"
)

// CellResolution gives hexagons of about 0.1 km²: what a driver crosses in half
// a minute.
const CellResolution = 9

// parentResolution is two coarser: 49 cells.
const parentResolution = CellResolution - 2

// Cell is an H3 index of CellResolution; 0 is no cell.
type Cell uint64

// String is the index in hex, as H3 writes it.
func (c Cell) String() string { return strconv.FormatUint(uint64(c), 16) }

// MarshalText writes the index in hex.
func (c Cell) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// CellOf returns the cell of a point. It costs a call into C; Hexagon.Contains
// says when that is not needed.
func CellOf(p Point) (Cell, error) {
	if err := p.Check(); err != nil {
		return 0, err
	}
	c, err := h3.LatLngToCell(h3.NewLatLng(p.Lat, p.Lng), CellResolution)
	if err != nil {
		return 0, fmt.Errorf("cell of %v: %w", p, err)
	}
	return Cell(c), nil
}

// Block is the coarse H3 cell that a cell belongs to.
func (c Cell) Block() Cell {
	p, err := h3.Cell(c).Parent(parentResolution)
	if err != nil {
		return 0
	}
	return Cell(p)
}

// Rings returns the cells at each grid distance 0..k, k at most 20.
func (c Cell) Rings(k int) ([][]Cell, error) {
	rings, err := h3.GridDiskDistances(h3.Cell(c), min(k, 20))
	if err != nil {
		return nil, fmt.Errorf("rings of %s: %w", c, err)
	}

	out := make([][]Cell, len(rings))
	for i, ring := range rings {
		for _, n := range ring {
			if n != 0 { // pentagons leave holes
				out[i] = append(out[i], Cell(n))
			}
		}
	}

	return out, nil
}

// Centre is the middle of a cell.
func (c Cell) Centre() (Point, error) {
	at, err := h3.Cell(c).LatLng()
	if err != nil {
		return Point{}, fmt.Errorf("centre of %s: %w", c, err)
	}
	return Point{Lng: at.Lng, Lat: at.Lat}, nil
}

// Boundary is the corners of a cell, anticlockwise; the first is not repeated.
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

// Hexagon is the shape of a cell, kept so that a car's cell is computed again
// only when the car may have left it.
type Hexagon struct {
	Cell   Cell
	Centre Point
	// x*lng² + y*lat² < 1, in degrees from the centre: the circle within, nine
	// tenths of the cell
	inner  struct{ x, y float64 }
	Radius float64 // metres; no point of the cell is farther from its centre
	edges  [6]halfPlane
}

// halfPlane is a half plane in degrees from the centre: points with x*lng + y*lat <
// limit are inside.
type halfPlane struct{ x, y, limit float64 }

// edgeMargin is how near an edge, in metres, nothing is certain: an edge is a
// great circle, drawn straight here, which differs by millimetres.
const edgeMargin = 0.5

// HexagonOf returns a cell's shape.
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
		h.Radius = max(h.Radius, Metres(centre, Point{Lng: v.Lng, Lat: v.Lat})+edgeMargin)
	}
	h.computeEdges(corners)
	return h, nil
}

// computeEdges computes the edges. Pentagons, cells that H3 bends over an edge of its
// icosahedron, cells on the date line and near the poles keep empty edges and
// so contain nothing for certain.
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
		nx, ny := y1-y0, x0-x1 // outward, as H3 lists corners anticlockwise
		length := math.Hypot(nx, ny)
		nx, ny = nx/length, ny/length
		h.edges[i] = halfPlane{x: nx * kx, y: ny * ky, limit: nx*x0 + ny*y0 - edgeMargin}
		within = min(within, h.edges[i].limit)
	}

	if within > 0 {
		h.inner.x, h.inner.y = kx*kx/(within*within), ky*ky/(within*within)
	}
}

// Contains says that p is certainly in the cell. False near an edge means: ask
// CellOf.
func (h *Hexagon) Contains(p Point) bool {
	dLng, dLat := p.Lng-h.Centre.Lng, p.Lat-h.Centre.Lat
	if h.inner.x > 0 && h.inner.x*dLng*dLng+h.inner.y*dLat*dLat < 1 {
		return true // mostly, and the edges need not be fetched from memory
	}

	for i := range h.edges {
		if e := &h.edges[i]; !(e.x*dLng+e.y*dLat < e.limit) {
			return false
		}
	}

	return true
}
