// Package ch finds shortest paths in a road graph by contraction hierarchies,
// after R. Geisberger, P. Sanders, D. Schultes, D. Delling, Contraction
// Hierarchies: Faster and Simpler Hierarchical Routing in Road Networks, WEA
// 2008. Costs are whole numbers, and every answer equals Dijkstra's.
package ch

import (
	"errors"
	"fmt"
	"math"
)

// Arc leads from one node to another at a cost.
type Arc struct {
	From, To int32
	Cost     uint32
}

// Hierarchy is a graph whose nodes were ordered by importance and contracted
// one by one. Where the only shortest path between two neighbours led through
// the contracted node, a shortcut replaced it. Every shortest path then has an
// equal one that first climbs and then descends, so that both ends search
// upwards only. A Hierarchy never changes and is safe for concurrent use.
type Hierarchy struct {
	rank []int32 // of each node; the searches know nodes by rank alone
	node []int32 // of each rank
	arcs []arc   // those given, in order, then the shortcuts
	// from a node to more important ones, and to a node from them
	up, down links
}

// arc is an arc of the graph (second < 0), or a shortcut that stands for two
// arcs.
type arc struct {
	Arc
	first, second int32
}

// links are the arcs of each node, by rank: those of node n are
// all[at[n]:at[n+1]].
type links struct {
	at  []int32
	all []link
}

type link struct {
	node int32 // at the other end
	cost uint32
	arc  int32
}

func (l *links) linksOf(n int32) []link { return l.all[l.at[n]:l.at[n+1]] }

// ErrGraph is wrapped by errors about a graph that no hierarchy can be built
// from.
var ErrGraph = errors.New("not a road graph")

// Build orders and contracts the nodes 0 to nodes-1. The same graph gives the
// same hierarchy. Errors wrap ErrGraph.
func Build(nodes int, arcs []Arc) (*Hierarchy, error) {
	b := newBuilder(nodes)
	for i, a := range arcs {
		if a.From < 0 || int(a.From) >= nodes || a.To < 0 || int(a.To) >= nodes {
			return nil, fmt.Errorf("%w: arc %d leads from %d to %d among %d nodes", ErrGraph, i, a.From, a.To, nodes)
		}
		b.arcs = append(b.arcs, arc{Arc: a, second: -1})
		if a.From != a.To {
			b.addArc(int32(i))
		}
	}

	if err := b.contractAll(); err != nil {
		return nil, err
	}
	h := &Hierarchy{rank: b.rank, node: make([]int32, nodes), arcs: b.arcs}
	for n, r := range b.rank {
		h.node[r] = int32(n)
	}
	h.up = h.collectLinks(b.up, func(a arc) int32 { return a.To })
	h.down = h.collectLinks(b.down, func(a arc) int32 { return a.From })
	return h, nil
}

// collectLinks returns the arcs that each node had when it was contracted, by
// rank.
func (h *Hierarchy) collectLinks(of [][]int32, other func(arc) int32) links {
	l := links{at: make([]int32, 1, len(h.rank)+1)}
	for _, n := range h.node {
		for _, i := range of[n] {
			l.all = append(l.all, link{node: h.rank[other(h.arcs[i])], cost: h.arcs[i].Cost, arc: i})
		}
		l.at = append(l.at, int32(len(l.all)))
	}
	return l
}

// CountNodes returns the number of nodes, CountShortcuts that of shortcuts.
func (h *Hierarchy) CountNodes() int { return len(h.rank) }
func (h *Hierarchy) CountShortcuts() (n int) {
	for i := range h.arcs {
		if h.arcs[i].second >= 0 {
			n++
		}
	}
	return n
}

// unpackShortcut appends the graph's arcs that an arc stands for, in driving
// order.
func (h *Hierarchy) unpackShortcut(i int32, dst []int32) []int32 {
	stack := []int32{i}
	for len(stack) > 0 {
		i, stack = stack[len(stack)-1], stack[:len(stack)-1]
		if a := &h.arcs[i]; a.second < 0 {
			dst = append(dst, i)
		} else {
			stack = append(stack, a.second, a.first)
		}
	}
	return dst
}

// maxShortcutCost bounds the cost of a shortcut: 49 days in milliseconds.
const maxShortcutCost = math.MaxUint32
