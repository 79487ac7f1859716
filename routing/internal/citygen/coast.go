package citygen

import "slices"

// The coast is sampled finely in the city and ever more coarsely around it, so
// that the land does not end at the edge of the map.
const (
	coastStep = 55.0
	coastFar  = 160e3
)

func sampleCoastAxis(half float64) []float64 {
	var out []float64
	for v, d := half+1500, coastStep; v < coastFar; v += d {
		out = append(out, v)
		d *= 1.22
	}

	out = append(out, coastFar)
	var axis []float64
	for i := len(out) - 1; i >= 0; i-- {
		axis = append(axis, -out[i])
	}
	for v := -half - 1500 + coastStep; v < half+1500-coastStep/2; v += coastStep {
		axis = append(axis, v)
	}

	return append(axis, out...)
}

// traceCoastline returns the shores as closed rings, land on the left, by
// marching squares over a grid whose outermost frame counts as water.
func traceCoastline(depth func(XY) float64) [][]XY {
	xs, ys := sampleCoastAxis(halfWidth), sampleCoastAxis(halfHeight)
	values := make([]float64, len(xs)*len(ys))
	for r, y := range ys {
		for c, x := range xs {
			v := depth(XY{x, y})
			if r == 0 || c == 0 || r == len(ys)-1 || c == len(xs)-1 {
				v = -1
			}
			values[r*len(xs)+c] = v
		}
	}

	return joinShores(findShores(xs, ys, values))
}

// gridSide names a grid line between two neighbours: the one that starts at
// point i and goes east (or north).
type gridSide struct {
	i     int
	north bool
}

type shoreSegment struct {
	to gridSide
	at XY // of the side it starts from
}

// findShores returns the shore segments of each grid square, keyed by the side
// they start from.
func findShores(xs, ys, values []float64) map[gridSide]shoreSegment {
	out := make(map[gridSide]shoreSegment)
	w := len(xs)
	for r := range len(ys) - 1 {
		for c := range w - 1 {
			i := r*w + c
			// anticlockwise from the south-west
			corners := [4]int{i, i + 1, i + 1 + w, i + w}
			sides := [4]gridSide{{i, false}, {i + 1, true}, {i + w, false}, {i, true}}
			var wet [4]bool
			for k, n := range corners {
				wet[k] = values[n] <= 0
			}

			// Anticlockwise around the square, the shore enters where water
			// follows land and leaves where land follows water.
			for k := range 4 {
				if wet[k] || !wet[(k+1)%4] {
					continue
				}

				for j := 1; j < 4; j++ { // back to where this land began
					m := (k - j + 4) % 4
					if wet[m] {
						at := zeroCrossing(xs, ys, values, sides[k])
						out[sides[k]] = shoreSegment{sides[m], at}
						break
					}
				}
			}
		}
	}
	return out
}

// zeroCrossing returns the point of a side where the value is zero.
func zeroCrossing(xs, ys, values []float64, s gridSide) XY {
	w := len(xs)
	j := s.i + 1
	if s.north {
		j = s.i + w
	}

	a, b := values[s.i], values[j]
	t := a / (a - b)
	return XY{xs[s.i%w], ys[s.i/w]}.interpolateTo(XY{xs[j%w], ys[j/w]}, t)
}

func joinShores(from map[gridSide]shoreSegment) [][]XY {
	starts := make([]gridSide, 0, len(from))
	for s := range from {
		starts = append(starts, s)
	}

	slices.SortFunc(starts, func(a, b gridSide) int {
		if a.i != b.i {
			return a.i - b.i
		}
		if a.north == b.north {
			return 0
		}
		if a.north {
			return 1
		}
		return -1
	})

	var rings [][]XY
	for _, s := range starts {
		var ring []XY
		for at, ok := from[s]; ok; at, ok = from[s] {
			ring = append(ring, at.at)
			delete(from, s)
			s = at.to
		}

		if len(ring) > 2 {
			rings = append(rings, append(ring, ring[0]))
		}
	}
	return rings
}

// ringArea returns the area of a ring in square metres, positive when the ring
// runs anticlockwise.
func ringArea(ring []XY) float64 {
	sum := 0.0
	for i := range len(ring) - 1 {
		sum += ring[i].X*ring[i+1].Y - ring[i+1].X*ring[i].Y
	}
	return sum / 2
}

// buildLandAreas makes polygons of the rings. Lakes become holes of the land
// around them; specks are left out.
func buildLandAreas(rings [][]XY) []Area {
	const speck = 6000 // square metres
	var land []Area
	for _, ring := range rings {
		if ringArea(ring) > speck {
			land = append(land, Area{Kind: "land", Rings: [][]XY{smoothRing(ring)}})
		}
	}

	for _, ring := range rings {
		if ringArea(ring) > -speck {
			continue
		}
		for i := range land {
			if isInsideRing(ring[0], land[i].Rings[0]) {
				land[i].Rings = append(land[i].Rings, smoothRing(ring))
				break
			}
		}
	}

	for _, l := range land {
		if ringArea(l.Rings[0]) < islet {
			land = append(land, Area{Kind: "park", Rings: l.Rings})
		}
	}

	return land
}

// islet is the largest land, in square metres, that gets no streets and is
// drawn as a park.
const islet = 1.5e6

// smoothRing rounds a ring's corners off (G. Chaikin, 1974), then leaves out
// points that make no visible difference.
func smoothRing(ring []XY) []XY {
	out := make([]XY, 0, 2*len(ring))
	for i := range len(ring) - 1 {
		a, b := ring[i], ring[i+1]
		out = append(out, a.interpolateTo(b, 0.25), a.interpolateTo(b, 0.75))
	}

	half := len(out) / 2
	head, tail := simplifyLine(out[:half+1], 3), simplifyLine(append(out[half:], out[0]), 3)
	return append(head[:len(head)-1:len(head)-1], tail...)
}

func isInsideRing(p XY, ring []XY) bool {
	in := false
	for i := range len(ring) - 1 {
		a, b := ring[i], ring[i+1]
		if (a.Y > p.Y) != (b.Y > p.Y) && p.X < a.X+(b.X-a.X)*(p.Y-a.Y)/(b.Y-a.Y) {
			in = !in
		}
	}
	return in
}
