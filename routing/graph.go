package routing

import (
	"fmt"
	"math"
	"slices"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/internal/ch"
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

func (e *edge) length() float64 { return e.along[len(e.along)-1] }

// costOfShare returns the milliseconds it takes to drive a share of the edge.
func (e *edge) costOfShare(share float64) uint64 { return uint64(math.Ceil(share * float64(e.ms))) }

// arc is an edge in one direction.
type arc struct {
	from, to int32
	edge     int32
	forward  bool // in the direction of the edge's line
}

// graph is the roads, cut at their junctions, and the arcs in which they may be
// driven.
type graph struct {
	nodes []location.Point
	edges []edge
	arcs  []arc
	kept  Kept
}

// buildGraph cuts the roads at their junctions and keeps the largest part in
// which every point reaches every other.
func buildGraph(roads []Road) (*graph, error) {
	nodes, edges, owners := cutAtJunctions(roads)
	if len(edges) == 0 {
		return nil, fmt.Errorf("%w: it has no roads", ErrPlan)
	}

	g := &graph{nodes: nodes, edges: edges}
	g.buildArcs()
	part := findLargestPart(g)
	g.keepPart(part, owners)
	if len(g.edges) == 0 {
		return nil, fmt.Errorf("%w: no road leads anywhere and back", ErrPlan)
	}
	g.buildArcs()
	return g, nil
}

// cutAtJunctions returns the junctions, the edges and the road that each edge
// belongs to.
func cutAtJunctions(roads []Road) (nodes []location.Point, edges []edge, owners []int32) {
	uses := make(map[microPoint]int)
	for _, r := range roads {
		for i, p := range r.Points {
			uses[toMicro(p)]++
			if i == 0 || i == len(r.Points)-1 {
				uses[toMicro(p)]++ // an end is always a node
			}
		}
	}

	ids := make(map[microPoint]int32)
	id := func(p location.Point) int32 {
		k := toMicro(p)
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
			if uses[toMicro(r.Points[j])] < 2 {
				continue
			}
			if e, ok := newEdge(r, r.Points[begin:j+1]); ok {
				e.from, e.to = id(e.line[0]), id(e.line[len(e.line)-1])
				edges, owners = append(edges, e), append(owners, int32(i))
			}
			begin = j
		}
	}
	return nodes, edges, owners
}

// newEdge measures a stretch of road; ok is false if it has no length.
func newEdge(r *Road, line []location.Point) (edge, bool) {
	e := edge{speed: r.Speed, class: r.Class, oneWay: r.OneWay, bridge: r.Bridge, name: r.Name}
	if e.speed == 0 {
		e.speed = r.Class.Speed()
	}

	var sum float64
	for i, p := range line {
		if i > 0 {
			step := location.MetresBetween(line[i-1], p)
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

// buildArcs lists the arcs of all edges.
func (g *graph) buildArcs() {
	g.arcs = g.arcs[:0]
	for i := range g.edges {
		e := &g.edges[i]
		g.arcs = append(g.arcs, arc{e.from, e.to, int32(i), true})
		if !e.oneWay {
			g.arcs = append(g.arcs, arc{e.to, e.from, int32(i), false})
		}
	}
}

// buildHierarchy prepares the graph for fast searches. Plan.validate bounds
// every road, so that no way is too long for it.
func (g *graph) buildHierarchy() (*ch.Hierarchy, error) {
	arcs := make([]ch.Arc, len(g.arcs))
	for i, a := range g.arcs {
		arcs[i] = ch.Arc{From: a.from, To: a.to, Cost: g.edges[a.edge].ms}
	}
	h, err := ch.Build(len(g.nodes), arcs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	return h, nil
}

// listSuccessors returns the nodes that each node leads to: those of n are
// to[at[n]:at[n+1]].
func (g *graph) listSuccessors() (at, to []int32) {
	at = make([]int32, len(g.nodes)+1)
	for _, a := range g.arcs {
		at[a.from+1]++
	}
	for n := range g.nodes {
		at[n+1] += at[n]
	}

	to = make([]int32, len(g.arcs))
	next := slices.Clone(at)
	for _, a := range g.arcs {
		to[next[a.from]] = a.to
		next[a.from]++
	}

	return at, to
}

// keepPart drops every node outside a part and every edge that touches one, and
// counts what is left.
func (g *graph) keepPart(part []bool, owners []int32) {
	g.kept.OfJunctions = len(g.nodes)
	renamed := make([]int32, len(g.nodes))
	var nodes []location.Point
	for n, p := range g.nodes {
		if part[n] {
			renamed[n] = int32(len(nodes))
			nodes = append(nodes, p)
		}
	}
	var edges []edge

	// roads of which some edge was kept, and some was dropped
	some, lost := make(map[int32]bool), make(map[int32]bool)
	for i, e := range g.edges {
		g.kept.OfMetres += e.length()
		if !part[e.from] || !part[e.to] {
			lost[owners[i]] = true
			continue
		}
		some[owners[i]] = true
		g.kept.Metres += e.length()
		e.from, e.to = renamed[e.from], renamed[e.to]
		edges = append(edges, e)
	}

	for road := range lost {
		if !some[road] {
			g.kept.LostRoads++
		}
	}

	g.nodes, g.edges = nodes, edges
	g.kept.Junctions = len(nodes)
}

// findLargestPart marks the largest strongly connected component (R. Tarjan,
// SIAM J. Comput. 1, 1972, without recursion).
func findLargestPart(g *graph) []bool {
	n := len(g.nodes)
	s := &componentSearch{index: make([]int32, n), low: make([]int32, n), part: make([]int32, n)}
	s.outAt, s.out = g.listSuccessors()

	for root := range int32(n) {
		if s.index[root] == 0 {
			s.searchFrom(root)
		}
	}

	in := make([]bool, n)
	for v := range in {
		in[v] = s.part[v] == s.best
	}

	return in
}

// componentSearch is the state of Tarjan's algorithm.
type componentSearch struct {
	outAt, out []int32 // successors of each node

	index, low []int32 // of each node; 0: not seen
	part       []int32 // the component of each node, from 1; 0: none yet
	stack      []int32 // nodes that were seen and have no component yet
	calls      []call
	seen       int32

	parts, best, bestSize int32 // components, and the largest of them
}

// call is a node under way and the next of its successors.
type call struct{ node, next int32 }

// searchFrom finds the components of all nodes that can be reached from root
// and were not seen before.
func (s *componentSearch) searchFrom(root int32) {
	s.calls = append(s.calls, call{root, s.outAt[root]})
	for len(s.calls) > 0 {
		c := &s.calls[len(s.calls)-1]
		v := c.node
		if s.index[v] == 0 {
			s.seen++
			s.index[v], s.low[v] = s.seen, s.seen
			s.stack = append(s.stack, v)
		}

		if c.next < s.outAt[v+1] {
			w := s.out[c.next]
			c.next++

			switch {
			case s.index[w] == 0:
				s.calls = append(s.calls, call{w, s.outAt[w]})
			case s.part[w] == 0:
				s.low[v] = min(s.low[v], s.index[w])
			}
			continue
		}

		s.calls = s.calls[:len(s.calls)-1]
		if len(s.calls) > 0 {
			parent := s.calls[len(s.calls)-1].node
			s.low[parent] = min(s.low[parent], s.low[v])
		}
		if s.low[v] == s.index[v] {
			s.closeComponent(v)
		}
	}
}

// closeComponent makes a component of the nodes on the stack, down to v.
func (s *componentSearch) closeComponent(v int32) {
	s.parts++
	at := len(s.stack) - 1
	for s.stack[at] != v {
		at--
	}
	for _, w := range s.stack[at:] {
		s.part[w] = s.parts
	}
	if size := int32(len(s.stack) - at); size > s.bestSize {
		s.best, s.bestSize = s.parts, size
	}
	s.stack = s.stack[:at]
}
