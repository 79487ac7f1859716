package routing

import (
	"math"
	"sort"

	"github.com/ridehail/ridehail/location"
)

// edgePoint is a point on an edge.
type edgePoint struct {
	edge  int32
	share float64 // of the edge's length before it
	point location.Point
	off   float64 // metres from the point that was asked about
}

const (
	metresPerDegree = location.EarthRadius * math.Pi / 180
	indexCell       = 250 // metres
)

// edgeIndex finds the nearest edge. It is a raster of squares, each with the
// segments that touch it.
type edgeIndex struct {
	graph         *graph
	west, south   float64
	perLng        float64 // squares per degree
	perLat        float64
	columns, rows int
	squares       map[int][]segment // most of a country's squares are empty
}

type segment struct{ edge, i int32 } // from point i to i+1 of the edge's line

func newEdgeIndex(g *graph, lo, hi location.Point) *edgeIndex {
	cos := math.Cos((lo.Lat + hi.Lat) / 2 * math.Pi / 180)
	x := &edgeIndex{
		graph: g, west: lo.Lng, south: lo.Lat, squares: make(map[int][]segment),
		perLat: metresPerDegree / indexCell, perLng: metresPerDegree * max(0.01, cos) / indexCell,
	}
	x.columns = int((hi.Lng-lo.Lng)*x.perLng) + 1
	x.rows = int((hi.Lat-lo.Lat)*x.perLat) + 1

	for e := range g.edges {
		line := g.edges[e].line
		for i := range line[1:] {
			x.addSegment(segment{int32(e), int32(i)}, line[i], line[i+1])
		}
	}

	return x
}

func (x *edgeIndex) squareOf(p location.Point) (column, row int) {
	return int(math.Floor((p.Lng - x.west) * x.perLng)), int(math.Floor((p.Lat - x.south) * x.perLat))
}

// addSegment lists a segment in every square that it passes.
func (x *edgeIndex) addSegment(s segment, a, b location.Point) {
	c0, r0 := x.squareOf(a)
	c1, r1 := x.squareOf(b)
	for c := min(c0, c1); c <= max(c0, c1); c++ {
		lo, hi := min(r0, r1), max(r0, r1)
		if c0 != c1 && r0 != r1 {
			// only the rows that a long slanting segment crosses in this column
			at := func(column int) float64 {
				lng := x.west + float64(column)/x.perLng
				t := max(0, min(1, (lng-a.Lng)/(b.Lng-a.Lng)))
				return (a.Lat + t*(b.Lat-a.Lat) - x.south) * x.perLat
			}

			from, to := at(c), at(c+1)
			lo = max(lo, int(math.Floor(min(from, to))))
			hi = min(hi, int(math.Floor(max(from, to))))
		}

		for r := lo; r <= hi; r++ {
			x.squares[r*x.columns+c] = append(x.squares[r*x.columns+c], s)
		}
	}
}

// findNearest returns the point on a road nearest to p, if there is one within
// the given metres.
func (x *edgeIndex) findNearest(p location.Point, within float64) (edgePoint, bool) {
	if p.CheckRange() != nil {
		return edgePoint{}, false
	}
	column, row := x.squareOf(p)
	size := 1 / x.perLng * metresPerDegree * math.Cos(p.Lat*math.Pi/180)

	// the least width of a ring of squares, in metres
	size = min(size, indexCell)
	best := edgePoint{off: within + 1e-9}

	found := false
	rings := int(within/max(1, size)) + 1
	for ring := 0; ring <= rings; ring++ {
		if found && best.off <= float64(ring-1)*size {
			break // all squares left are farther away
		}

		for r := row - ring; r <= row+ring; r++ {
			step := 1
			if r != row-ring && r != row+ring {
				step = max(1, 2*ring) // inside rows: only the two ends
			}
			for c := column - ring; c <= column+ring; c += step {
				found = x.searchSquare(p, c, r, &best) || found
			}
		}
	}

	return best, found
}

func (x *edgeIndex) searchSquare(p location.Point, c, r int, best *edgePoint) bool {
	if c < 0 || r < 0 || c >= x.columns || r >= x.rows {
		return false
	}

	found := false
	kx := metresPerDegree * math.Cos(p.Lat*math.Pi/180)
	for _, s := range x.squares[r*x.columns+c] {
		e := &x.graph.edges[s.edge]
		a, b := e.line[s.i], e.line[s.i+1]
		ax, ay := (a.Lng-p.Lng)*kx, (a.Lat-p.Lat)*metresPerDegree
		dx, dy := (b.Lng-a.Lng)*kx, (b.Lat-a.Lat)*metresPerDegree
		t := max(0, min(1, -(ax*dx+ay*dy)/(dx*dx+dy*dy)))

		off := math.Hypot(ax+t*dx, ay+t*dy)
		if !(off < best.off) {
			continue
		}

		found = true
		along := e.along[s.i] + t*(e.along[s.i+1]-e.along[s.i])
		*best = edgePoint{
			edge: s.edge, share: max(0, min(1, along/e.length())), off: off,
			point: location.Point{Lng: a.Lng + t*(b.Lng-a.Lng), Lat: a.Lat + t*(b.Lat-a.Lat)},
		}
	}

	return found
}

// pointAt returns the point at a share of the edge's length.
func (e *edge) pointAt(share float64) location.Point {
	along := share * e.length()
	i := max(1, min(sort.SearchFloat64s(e.along, along), len(e.along)-1))
	a, b := e.line[i-1], e.line[i]
	t := max(0, min(1, (along-e.along[i-1])/(e.along[i]-e.along[i-1])))
	return location.Point{Lng: a.Lng + t*(b.Lng-a.Lng), Lat: a.Lat + t*(b.Lat-a.Lat)}
}

// pointsBetween returns the points of the edge's line from one share of its
// length to another, in the direction of travel, including both ends.
func (e *edge) pointsBetween(from, to float64) []location.Point {
	out := []location.Point{e.pointAt(from)}
	begin, end := from*e.length(), to*e.length()
	if from <= to {
		for i, m := range e.along {
			if m > begin && m < end {
				out = append(out, e.line[i])
			}
		}
	} else {
		for i := len(e.along) - 1; i >= 0; i-- {
			if m := e.along[i]; m < begin && m > end {
				out = append(out, e.line[i])
			}
		}
	}

	return append(out, e.pointAt(to))
}
