package routing

import (
	"fmt"
	"math"

	"github.com/ridehail/ridehail/location"
)

// edge is a stretch of road between two junctions.
type edge struct {
	from, to int32
	line     []location.Point // from the junction `from` to the junction `to`
	along    []float64        // metres from the beginning to each point of line
	speed    float64
	ms       uint32 // to drive all of it
	class    Class
	oneWay   bool
	bridge   bool
	name     string
}

func (e *edge) metres() float64 { return e.along[len(e.along)-1] }

// part is what driving a share of the edge costs. It rounds up, so that the estimate of A* stays below.
func (e *edge) part(share float64) uint64 { return uint64(math.Ceil(share * float64(e.ms))) }

// arc is an edge in one direction, as seen from the node it leaves (or, in the backward lists, enters).
type arc struct {
	node    int32 // at the other end
	edge    int32
	ms      uint32
	forward bool // in the direction of the edge's line
}

// graph holds the arcs of node n at out[outAt[n]:outAt[n+1]], those that lead to it in `in`.
type graph struct {
	nodes       []location.Point
	edges       []edge
	out, in     []arc
	outAt, inAt []int32
	fastest     float64 // metres per second
}

// buildGraph cuts the roads at their junctions and keeps the largest part in which every point reaches every other.
func buildGraph(roads []Road) (*graph, error) {
	nodes, edges := cut(roads)
	if len(edges) == 0 {
		return nil, fmt.Errorf("%w: it has no roads", ErrPlan)
	}
	g := &graph{nodes: nodes, edges: edges}
	g.link()
	part := largestPart(g)
	g.keep(part)
	if len(g.edges) == 0 {
		return nil, fmt.Errorf("%w: no road leads anywhere and back", ErrPlan)
	}
	g.link()
	return g, nil
}

func cut(roads []Road) ([]location.Point, []edge) {
	uses := make(map[key]int)
	for _, r := range roads {
		for i, p := range r.Points {
			uses[micro(p)]++
			if i == 0 || i == len(r.Points)-1 {
				uses[micro(p)]++ // an end is always a node
			}
		}
	}
	var nodes []location.Point
	var edges []edge
	ids := make(map[key]int32)
	id := func(p location.Point) int32 {
		k := micro(p)
		n, ok := ids[k]
		if !ok {
			n = int32(len(nodes))
			ids[k] = n
			nodes = append(nodes, p)
		}
		return n
	}
	for i := range roads {
		r := &roads[i]
		begin := 0
		for j := 1; j < len(r.Points); j++ {
			if uses[micro(r.Points[j])] < 2 {
				continue
			}
			if e, ok := newEdge(r, r.Points[begin:j+1]); ok {
				e.from, e.to = id(e.line[0]), id(e.line[len(e.line)-1])
				edges = append(edges, e)
			}
			begin = j
		}
	}
	return nodes, edges
}

// newEdge measures a stretch of road; one without length is none.
func newEdge(r *Road, line []location.Point) (edge, bool) {
	e := edge{speed: r.Speed, class: r.Class, oneWay: r.OneWay, bridge: r.Bridge, name: r.Name}
	if e.speed == 0 {
		e.speed = r.Class.Speed()
	}
	var sum float64
	for i, p := range line {
		if i > 0 {
			step := location.Metres(line[i-1], p)
			if step == 0 {
				continue
			}
			sum += step
		}
		e.line, e.along = append(e.line, p), append(e.along, sum)
	}
	ms := math.Ceil(sum / e.speed * 1000)
	e.ms = uint32(ms)
	return e, len(e.line) > 1 && ms < math.MaxUint32
}

// link lists the arcs of every node, both ways.
func (g *graph) link() {
	g.outAt, g.inAt = make([]int32, len(g.nodes)+1), make([]int32, len(g.nodes)+1)
	g.fastest = 0
	each := func(do func(from, to int32, a arc)) {
		for i := range g.edges {
			e := &g.edges[i]
			do(e.from, e.to, arc{edge: int32(i), ms: e.ms, forward: true})
			if !e.oneWay {
				do(e.to, e.from, arc{edge: int32(i), ms: e.ms})
			}
		}
	}
	each(func(from, to int32, _ arc) { g.outAt[from+1]++; g.inAt[to+1]++ })
	for n := range g.nodes {
		g.outAt[n+1] += g.outAt[n]
		g.inAt[n+1] += g.inAt[n]
	}
	total := g.outAt[len(g.nodes)]
	g.out, g.in = make([]arc, total), make([]arc, total)
	outNext, inNext := append([]int32(nil), g.outAt...), append([]int32(nil), g.inAt...)
	each(func(from, to int32, a arc) {
		a.node = to
		g.out[outNext[from]] = a
		outNext[from]++
		a.node = from
		g.in[inNext[to]] = a
		inNext[to]++
		g.fastest = max(g.fastest, g.edges[a.edge].speed)
	})
}

// keep drops every node outside the part and every edge that touches one.
func (g *graph) keep(part []bool) {
	renamed := make([]int32, len(g.nodes))
	var nodes []location.Point
	for n, p := range g.nodes {
		if part[n] {
			renamed[n] = int32(len(nodes))
			nodes = append(nodes, p)
		}
	}
	var edges []edge
	for _, e := range g.edges {
		if part[e.from] && part[e.to] {
			e.from, e.to = renamed[e.from], renamed[e.to]
			edges = append(edges, e)
		}
	}
	g.nodes, g.edges = nodes, edges
}

// largestPart marks the largest strongly connected component (R. Tarjan, SIAM J. Comput. 1, 1972, without recursion).
func largestPart(g *graph) []bool {
	n := len(g.nodes)
	index, low, part := make([]int32, n), make([]int32, n), make([]int32, n) // index 0: not seen, part 0: none yet
	type frame struct{ node, next int32 }
	var stack []int32
	var calls []frame
	var count, parts, best, bestSize int32
	for root := range int32(n) {
		if index[root] != 0 {
			continue
		}
		calls = append(calls, frame{root, g.outAt[root]})
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			v := f.node
			if index[v] == 0 {
				count++
				index[v], low[v] = count, count
				stack = append(stack, v)
			}
			if f.next < g.outAt[v+1] {
				w := g.out[f.next].node
				f.next++
				switch {
				case index[w] == 0:
					calls = append(calls, frame{w, g.outAt[w]})
				case part[w] == 0:
					low[v] = min(low[v], index[w])
				}
				continue
			}
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				parent := calls[len(calls)-1].node
				low[parent] = min(low[parent], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			parts++
			var size int32
			for {
				w := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				part[w] = parts
				size++
				if w == v {
					break
				}
			}
			if size > bestSize {
				best, bestSize = parts, size
			}
		}
	}
	in := make([]bool, n)
	for v := range in {
		in[v] = part[v] == best
	}
	return in
}
