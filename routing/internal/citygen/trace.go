package citygen

import (
	"math"
	"math/rand/v2"
)

// Ranks of roads.
const (
	street = iota
	arterial
	motorway
)

const stride = 22.0 // metres between the points of a traced road

// tracer lays roads along the grain, and keeps parallel roads apart.
type tracer struct {
	ground *terrain
	grain  *streetGrain
	lines  []line
	// of each square of a raster over the city and its surroundings
	marks [][]mark
}

type line struct {
	points []XY
	rank   int
	name   string
	bridge string // the name of what of it is over water
	oneWay bool
}

// mark is a point of a road that was laid, with its direction.
type mark struct {
	at, heading XY
	rank        int
}

const (
	markSquare  = 160
	markColumns = 2*(halfWidth+2000)/markSquare + 1
	markRows    = 2*(halfHeight+2000)/markSquare + 1
)

func findSquare(p XY) (column, row int) {
	return max(0, min(markColumns-1, int((p.X+halfWidth+2000)/markSquare))),
		max(0, min(markRows-1, int((p.Y+halfHeight+2000)/markSquare)))
}

func newTracer(g *terrain, n *streetGrain) *tracer {
	return &tracer{ground: g, grain: n, marks: make([][]mark, markColumns*markRows)}
}

// addRoad adds a road, and marks it so that later roads keep their distance.
func (t *tracer) addRoad(l line) {
	t.lines = append(t.lines, l)
	for i, p := range l.points {
		next := l.points[min(i+1, len(l.points)-1)]
		heading := next.subtract(l.points[max(0, i-1)]).unit()
		c, r := findSquare(p)
		t.marks[r*markColumns+c] = append(t.marks[r*markColumns+c], mark{p, heading, l.rank})
	}
}

// isClear says whether a road at p is at least `apart` metres from every nearly
// parallel one of its rank or above. A street must also be clear of motorways
// in any direction.
func (t *tracer) isClear(p, heading XY, rank int, apart float64) bool {
	const motorwayMargin = 42
	reach := max(apart, motorwayMargin)

	c0, r0 := findSquare(p.add(XY{-reach, -reach}))
	c1, r1 := findSquare(p.add(XY{reach, reach}))
	for r := r0; r <= r1; r++ {
		for c := c0; c <= c1; c++ {
			for i := range t.marks[r*markColumns+c] {
				m := &t.marks[r*markColumns+c][i]
				d := m.at.subtract(p)

				gap := d.dot(d)
				if m.rank < rank || gap >= reach*reach {
					continue
				}
				if gap < apart*apart && math.Abs(m.heading.dot(heading)) > 0.75 {
					return false
				}
				if rank == street && m.rank == motorway && gap < motorwayMargin*motorwayMargin {
					return false
				}
			}
		}
	}

	return true
}

// traceRoad follows the grain both ways from p. A road ends at water, at the
// city's limits, at parks, and where it comes nearer than `close` to a parallel
// road.
func (t *tracer) traceRoad(p, heading XY, rank int, close func(XY) float64, longest float64) []XY {
	ahead := t.traceDirection(p, heading, rank, close, longest)
	behind := t.traceDirection(p, heading.scale(-1), rank, close, longest)
	points := make([]XY, 0, len(ahead)+len(behind)+1)
	for i := len(behind) - 1; i >= 0; i-- {
		points = append(points, behind[i])
	}
	return append(append(points, p), ahead...)
}

func (t *tracer) traceDirection(p, heading XY, rank int, close func(XY) float64, longest float64) []XY {
	var out []XY
	start := p
	for gone := stride; gone < longest; gone += stride {
		middle := p.add(t.grain.alignHeading(p, heading).scale(stride / 2))
		heading = t.grain.alignHeading(middle, heading)
		p = p.add(heading.scale(stride))
		if !t.ground.allowsStreet(p) || !t.isClear(p, heading, rank, close(p)) {
			break
		}
		if gone > 12*stride && p.subtract(start).length() < 4*stride {
			break // round and back again
		}
		out = append(out, p)
	}

	return out
}

// addHighStreets adds an arterial across each end of a bridge, so that every
// island has a high street.
func (t *tracer) addHighStreets() {
	for _, l := range t.lines {
		if l.bridge == "" {
			continue
		}

		for _, end := range [...]int{0, len(l.points) - 1} {
			p := l.points[end]
			across := XY{1, 0}
			if !t.ground.allowsStreet(p) || !t.isClear(p, t.grain.alignHeading(p, across), arterial, 300) {
				continue
			}
			points := t.traceRoad(p, t.grain.alignHeading(p, across), arterial, func(XY) float64 { return 200 }, 9000)
			t.addRoad(line{points: points, rank: arterial})
		}
	}
}

// roadSeed is where a road may begin.
type roadSeed struct{ at, heading XY }

// fillWithRoads adds roads of a rank at about the given distance from each
// other. It begins beside and across the roads that are there, then fills the
// room that is left.
func (t *tracer) fillWithRoads(r *rand.Rand, rank int, apart func(XY) float64, shortest, longest float64) {
	near := 0.62
	if rank == arterial {
		near = 0.5
	}

	close := func(p XY) float64 { return near * apart(p) }
	var queue []roadSeed
	beside := func(l line) {
		next := 0.0
		for i := 1; i < len(l.points); i++ {
			next -= l.points[i].subtract(l.points[i-1]).length()
			if next > 0 {
				continue
			}
			p, heading := l.points[i], l.points[i].subtract(l.points[i-1]).unit()
			gap := apart(p)
			next = gap
			queue = append(queue, roadSeed{p.add(heading.leftNormal().scale(gap)), heading},
				roadSeed{p.add(heading.leftNormal().scale(-gap)), heading}, roadSeed{p, heading.leftNormal()})
		}
	}

	try := func(s roadSeed) {
		if !t.ground.allowsStreet(s.at) {
			return
		}
		heading := t.grain.alignHeading(s.at, s.heading)
		if !t.isClear(s.at, heading, rank, 0.93*apart(s.at)) {
			return
		}
		points := t.traceRoad(s.at, heading, rank, close, longest)
		if float64(len(points))*stride < shortest {
			return
		}
		l := line{points: points, rank: rank}
		t.addRoad(l)
		beside(l)
	}

	for _, l := range t.lines {
		beside(l)
	}
	drain := func() {
		for len(queue) > 0 {
			s := queue[0]
			queue = queue[1:]
			try(s)
		}
	}
	drain()

	for y := -float64(halfHeight); y < halfHeight; y += 90 {
		for x := -float64(halfWidth); x < halfWidth; x += 90 {
			p := XY{x + 60*r.Float64(), y + 60*r.Float64()}
			try(roadSeed{p, XY{1, 0}})
			try(roadSeed{p, XY{0, 1}})
			drain()
		}
	}
}
