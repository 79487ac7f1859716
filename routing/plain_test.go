package routing

import "container/heap"

// plain is Dijkstra's algorithm as in the textbook, with a heap: the baseline
// of the benchmarks. It is for one search after the other in the same graph.
type plain struct {
	g        *graph
	at, arcs []int32 // arcs of node n: arcs[at[n]:at[n+1]]
	cost     []uint64
}

func newPlain(g *graph) *plain {
	at, _ := g.listSuccessors()
	p := &plain{g: g, at: at, arcs: make([]int32, len(g.arcs)), cost: make([]uint64, len(g.nodes))}
	next := append([]int32(nil), at...)
	for i, a := range g.arcs {
		p.arcs[next[a.from]] = int32(i)
		next[a.from]++
	}
	return p
}

// times returns the milliseconds from one point to several others. It ends when
// the last of them is settled.
func (p *plain) times(r *Router, from edgePoint, to []edgePoint) []uint64 {
	for n := range p.cost {
		p.cost[n] = unreached
	}
	wanted := map[int32]bool{}
	for _, b := range to {
		for _, s := range r.enterSeeds(b) {
			wanted[s.Node] = true
		}
	}

	var q nodes
	reach := func(n int32, cost uint64) {
		if cost < p.cost[n] {
			p.cost[n] = cost
			heap.Push(&q, nodeAt{n, cost})
		}
	}

	for _, s := range r.leaveSeeds(from) {
		reach(s.Node, s.Cost)
	}

	for q.Len() > 0 && len(wanted) > 0 {
		e := heap.Pop(&q).(nodeAt)
		if e.cost > p.cost[e.node] {
			continue
		}
		delete(wanted, e.node)

		for _, i := range p.arcs[p.at[e.node]:p.at[e.node+1]] {
			a := p.g.arcs[i]
			reach(a.to, e.cost+uint64(p.g.edges[a.edge].ms))
		}
	}

	out := make([]uint64, len(to))
	for i, b := range to {
		out[i] = r.costOnEdge(from, b)
		for _, s := range r.enterSeeds(b) {
			if p.cost[s.Node] != unreached {
				out[i] = min(out[i], p.cost[s.Node]+s.Cost)
			}
		}
	}
	return out
}

type nodeAt struct {
	node int32
	cost uint64
}

type nodes []nodeAt

func (q nodes) Len() int           { return len(q) }
func (q nodes) Less(i, j int) bool { return q[i].cost < q[j].cost }
func (q nodes) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *nodes) Push(x any)        { *q = append(*q, x.(nodeAt)) }
func (q *nodes) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
