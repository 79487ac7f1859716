package routing

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/ridehail/ridehail/location"
)

// drawGeoJSON writes the FeatureCollection without encoding/json, because the
// coordinates need six digits and no more.
func (c *City) drawGeoJSON() []byte {
	out := []byte(`{"type":"FeatureCollection",`)
	if a := c.plan.Attribution; a != "" {
		out = append(out, `"attribution":`+quoteJSON(a)+`,`...)
	}
	out = append(out, `"features":[`...)
	feature := func(properties, geometry string) {
		if out[len(out)-1] != '[' {
			out = append(out, ",\n"...)
		}
		out = append(out, `{"type":"Feature","properties":{`+properties+`},`...)
		out = append(out, `"geometry":{"type":"`+geometry+`","coordinates":`...)
	}

	for _, a := range c.plan.Areas {
		feature(`"kind":`+quoteJSON(a.Kind)+nameProperty(a.Name), "Polygon")
		out = append(out, '[')
		for i, ring := range a.Rings {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendLine(out, ring)
		}

		out = append(out, "]}}"...)
	}

	for _, l := range joinEdges(c.graph) {
		properties := `"kind":"road","class":` + quoteJSON(l.class.String())
		if l.bridge {
			properties += `,"bridge":true`
		}
		feature(properties+nameProperty(l.name), "LineString")
		out = append(appendLine(out, l.line), "}}"...)
	}

	for _, d := range c.plan.Districts {
		feature(`"kind":"district"`+nameProperty(d.Name), "Point")
		out = append(appendPoint(out, d.Point), "}}"...)
	}
	return append(out, "]}\n"...)
}

func nameProperty(name string) string {
	if name == "" {
		return ""
	}
	return `,"name":` + quoteJSON(name)
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s) // a string always can be
	return string(b)
}

func appendLine(out []byte, line []location.Point) []byte {
	out = append(out, '[')
	for i, p := range line {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendPoint(out, p)
	}
	return append(out, ']')
}

func appendPoint(out []byte, p location.Point) []byte {
	out = strconv.AppendFloat(append(out, '['), math.Round(p.Lng*1e6)/1e6, 'f', -1, 64)
	out = strconv.AppendFloat(append(out, ','), math.Round(p.Lat*1e6)/1e6, 'f', -1, 64)
	return append(out, ']')
}

// mapLine is a line on the map: joined edges that look the same.
type mapLine struct {
	line   []location.Point
	class  Class
	bridge bool
	name   string
}

// joinEdges joins edges that look the same at junctions, the straightest pairs
// first, so that the page gets few long lines instead of many short ones.
func joinEdges(g *graph) []mapLine {
	// the edge joined at the beginning and at the end of each; -1: none
	next := make([][2]int32, len(g.edges))
	for i := range next {
		next[i] = [2]int32{-1, -1}
	}

	ends := make([][]edgeEnd, len(g.nodes))
	for i := range g.edges {
		e := &g.edges[i]
		ends[e.from] = append(ends[e.from], newEdgeEnd(g, int32(i), 0))
		ends[e.to] = append(ends[e.to], newEdgeEnd(g, int32(i), 1))
	}

	for _, at := range ends {
		pairEnds(g, at, next)
	}

	done := make([]bool, len(g.edges))
	var lines []mapLine
	for i := range g.edges {
		if !done[i] {
			lines = append(lines, followLine(g, int32(i), next, done))
		}
	}

	return lines
}

// edgeEnd is the end of an edge at a junction, with the direction in which the
// edge leaves it.
type edgeEnd struct {
	edge   int32
	side   int // 0: the junction is where the edge begins, 1: where it ends
	dx, dy float64
}

func newEdgeEnd(g *graph, i int32, side int) edgeEnd {
	line := g.edges[i].line
	a, b := line[0], line[1]
	if side == 1 {
		a, b = line[len(line)-1], line[len(line)-2]
	}

	dx, dy := (b.Lng-a.Lng)*math.Cos(a.Lat*math.Pi/180), b.Lat-a.Lat
	length := math.Hypot(dx, dy)
	return edgeEnd{i, side, dx / length, dy / length}
}

// straightest is the cosine of the sharpest turn that a drawn line takes at a
// junction.
const straightest = -0.75

func pairEnds(g *graph, at []edgeEnd, next [][2]int32) {
	for {
		best, bi, bj := straightest, -1, -1
		for i, a := range at {
			for j, b := range at[:i] {
				if next[a.edge][a.side] >= 0 || next[b.edge][b.side] >= 0 || a.edge == b.edge || !looksAlike(g, a.edge, b.edge) {
					continue
				}
				if cos := a.dx*b.dx + a.dy*b.dy; cos < best {
					best, bi, bj = cos, i, j
				}
			}
		}

		if bi < 0 {
			return
		}
		next[at[bi].edge][at[bi].side] = at[bj].edge
		next[at[bj].edge][at[bj].side] = at[bi].edge
	}
}

func looksAlike(g *graph, i, j int32) bool {
	a, b := &g.edges[i], &g.edges[j]
	return a.class == b.class && a.bridge == b.bridge && a.name == b.name
}

// followLine goes to one end of the joined edges that an edge belongs to, then
// draws them to the other end.
func followLine(g *graph, start int32, next [][2]int32, done []bool) mapLine {
	i, side := start, 0 // leaving through this side
	for {
		n := next[i][side]
		if n < 0 || n == start {
			break
		}
		side = 1 - sideTowards(next, n, i, g, side)
		i = n
	}

	out := mapLine{class: g.edges[i].class, bridge: g.edges[i].bridge, name: g.edges[i].name}
	for side = 1 - side; ; {
		done[i] = true
		out.line = appendEdge(out.line, g.edges[i].line, side == 1)
		n := next[i][side]
		if n < 0 || done[n] {
			return out
		}
		side = 1 - sideTowards(next, n, i, g, side)
		i = n
	}
}

// sideTowards returns the side of edge n at which it is joined to side `side`
// of edge i.
func sideTowards(next [][2]int32, n, i int32, g *graph, side int) int {
	if next[n][0] == i && next[n][1] == i {
		// two edges form a circle: the shared junction decides
		node := g.edges[i].from
		if side == 1 {
			node = g.edges[i].to
		}
		if g.edges[n].from == node {
			return 0
		}
		return 1
	}

	if next[n][0] == i {
		return 0
	}

	return 1
}

func appendEdge(out, line []location.Point, forward bool) []location.Point {
	n := len(line)
	for k := range line {
		p := line[k]
		if !forward {
			p = line[n-1-k]
		}
		if len(out) == 0 || out[len(out)-1] != p {
			out = append(out, p)
		}
	}
	return out
}
