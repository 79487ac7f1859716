package citygen

import (
	"math"
	"math/rand/v2"
	"slices"
)

// network is the roads, cut where they cross.
type network struct {
	nodes []XY
	edges []networkEdge
}

// networkEdge is the part of a road between two crossings.
type networkEdge struct {
	from, to int
	points   []XY // ends included
	line     int  // of the tracer's
	rank     int
	gone     bool
}

func (s *networkEdge) measureLength() float64 {
	sum := 0.0
	for i := 1; i < len(s.points); i++ {
		sum += s.points[i].subtract(s.points[i-1]).length()
	}
	return sum
}

// cutPoint is where a line is cut: a share of one of its segments, and the node
// there.
type cutPoint struct {
	segment int
	share   float64
	node    int
}

// ranksMeet says whether roads of two ranks join where they cross. Streets pass
// under motorways.
func ranksMeet(a, b int) bool { return max(a, b) != motorway || min(a, b) != street }

func newNetwork(lines []line) *network {
	n := &network{}
	cuts := n.findCrossings(lines)
	for i, l := range lines {
		c := cuts[i]
		last := len(l.points) - 1

		c = append(c, cutPoint{0, 0, n.addNode(l.points[0])}, cutPoint{last - 1, 1, n.addNode(l.points[last])})
		slices.SortFunc(c, func(a, b cutPoint) int {
			switch {
			case a.segment != b.segment:
				return a.segment - b.segment
			case a.share < b.share:
				return -1
			case a.share > b.share:
				return 1
			}
			return a.node - b.node
		})

		for k := 1; k < len(c); k++ {
			a, b := c[k-1], c[k]
			s := networkEdge{from: a.node, to: b.node, line: i, rank: l.rank, points: []XY{n.nodes[a.node]}}
			s.points = append(s.points, l.points[a.segment+1:b.segment+1]...)
			s.points = append(s.points, n.nodes[b.node])
			n.edges = append(n.edges, s)
		}
	}

	n.mergeCloseNodes(16)
	return n
}

func (n *network) addNode(p XY) int {
	n.nodes = append(n.nodes, p)
	return len(n.nodes) - 1
}

// findCrossings returns the points at which each line crosses another. It
// compares segments within the same square of a raster.
func (n *network) findCrossings(lines []line) [][]cutPoint {
	type piece struct{ line, segment int }
	const square = 60.0
	grid := make(map[[2]int32][]piece)
	cuts := make([][]cutPoint, len(lines))
	for i, l := range lines {
		for s := range len(l.points) - 1 {
			a, b := l.points[s], l.points[s+1]
			var met []piece

			x0, x1 := int32(math.Floor(min(a.X, b.X)/square)), int32(math.Floor(max(a.X, b.X)/square))
			y0, y1 := int32(math.Floor(min(a.Y, b.Y)/square)), int32(math.Floor(max(a.Y, b.Y)/square))
			for x := x0; x <= x1; x++ {
				for y := y0; y <= y1; y++ {
					k := [2]int32{x, y}
					for _, o := range grid[k] {
						if o.line == i && s-o.segment < 2 || !ranksMeet(l.rank, lines[o.line].rank) || slices.Contains(met, o) {
							continue
						}
						met = append(met, o)
					}

					grid[k] = append(grid[k], piece{i, s})
				}
			}

			for _, o := range met {
				other := lines[o.line].points
				share, oShare, ok := crossSegments(a, b, other[o.segment], other[o.segment+1])
				if !ok {
					continue
				}
				at := n.addNode(a.interpolateTo(b, share))
				cuts[i] = append(cuts[i], cutPoint{s, share, at})
				cuts[o.line] = append(cuts[o.line], cutPoint{o.segment, oShare, at})
			}
		}
	}
	return cuts
}

// mergeCloseNodes merges crossings that are less than `near` metres of road
// apart.
func (n *network) mergeCloseNodes(near float64) {
	same := make([]int, len(n.nodes))
	for i := range same {
		same[i] = i
	}
	find := func(i int) int {
		for same[i] != i {
			same[i] = same[same[i]]
			i = same[i]
		}
		return i
	}

	for i := range n.edges {
		e := &n.edges[i]
		if a, b := find(e.from), find(e.to); a != b && e.measureLength() < near {
			same[max(a, b)] = min(a, b)
		}
	}

	for i := range n.edges {
		e := &n.edges[i]
		e.from, e.to = find(e.from), find(e.to)
		e.points[0], e.points[len(e.points)-1] = n.nodes[e.from], n.nodes[e.to]
		e.gone = e.from == e.to
	}
}

// removeStubs removes dead ends, and some random streets so that blocks differ
// in size.
func (n *network) removeStubs(r *rand.Rand, where noise) {
	for i := range n.edges {
		e := &n.edges[i]
		if e.rank != street || e.gone {
			continue
		}
		sparse := smoothStep(0.1, 0.6, where.valueAt(e.points[0], 700, 2))
		e.gone = r.Float64() < 0.05+0.22*sparse
	}

	for range 6 {
		degree := make([]int, len(n.nodes))
		for i := range n.edges {
			if e := &n.edges[i]; !e.gone {
				degree[e.from]++
				degree[e.to]++
			}
		}

		for i := range n.edges {
			e := &n.edges[i]
			if e.gone || degree[e.from] > 1 && degree[e.to] > 1 {
				continue
			}
			e.gone = e.measureLength() < 75 || e.rank == street && r.Float64() < 0.5
		}
	}
}

// demoteShortArterials turns short ends of arterials into streets if they lead
// to no other large road and not out of the city.
func (n *network) demoteShortArterials(g *terrain) {
	const short = 650
	at := make([][]int, len(n.nodes)) // the large roads at each node
	for i := range n.edges {
		if e := &n.edges[i]; !e.gone && e.rank != street {
			at[e.from], at[e.to] = append(at[e.from], i), append(at[e.to], i)
		}
	}

	for node := range at {
		if len(at[node]) != 1 || g.limitDepth(n.nodes[node]) < 120 {
			continue
		}

		var run []int
		length := 0.0
		for end, i := node, at[node][0]; ; {
			e := &n.edges[i]
			run, length = append(run, i), length+e.measureLength()
			end = e.from + e.to - end
			if len(at[end]) != 2 || length > short {
				break
			}
			i = at[end][0] + at[end][1] - i
		}

		for _, i := range run {
			if length <= short && n.edges[i].rank == arterial {
				n.edges[i].rank = street
			}
		}
	}
}

// buildRoads joins the edges that are left of each line again, and cuts them
// where a bridge begins or ends.
func (n *network) buildRoads(lines []line, g *terrain) []Road {
	var out []Road
	lastLine, lastNode := -1, -1
	for i := range n.edges {
		e := &n.edges[i]
		if e.gone {
			continue
		}

		for k, part := range splitAtBridges(e, lines[e.line], g) {
			goesOn := lastLine == e.line && (k > 0 || lastNode == e.from)
			if goesOn && out[len(out)-1].Bridge == part.Bridge && out[len(out)-1].Rank == part.Rank {
				out[len(out)-1].Line = append(out[len(out)-1].Line, part.Line[1:]...)
			} else {
				out = append(out, part)
			}

			lastLine = e.line
		}

		lastNode = e.to
	}

	return out
}

// splitAtBridges divides an edge into roads on land and bridges, and leaves out
// points that make no visible difference.
func splitAtBridges(e *networkEdge, l line, g *terrain) []Road {
	var out []Road
	for k := 1; k < len(e.points); k++ {
		a, b := e.points[k-1], e.points[k]
		bridge := e.rank != street && isOverWater(g, a, b)
		if len(out) == 0 || out[len(out)-1].Bridge != bridge {
			out = append(out, Road{Line: []XY{a}, Rank: e.rank, OneWay: l.oneWay, Bridge: bridge})
		}
		out[len(out)-1].Line = append(out[len(out)-1].Line, b)
	}

	for k := range out {
		out[k].Line = simplifyLine(out[k].Line, 1.5)
		switch {
		case out[k].Bridge:
			out[k].Name = l.bridge
		case e.rank != street:
			out[k].Name = l.name
		}
	}

	return out
}

// isOverWater says whether some of a segment is over water, or too near to it
// to stand on the ground.
func isOverWater(g *terrain, a, b XY) bool {
	steps := int(b.subtract(a).length()/20) + 1
	for k := range steps + 1 {
		if g.depthAt(a.interpolateTo(b, float64(k)/float64(steps))) < 12 {
			return true
		}
	}
	return false
}
