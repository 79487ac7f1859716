package ch

import (
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/internal/minheap"
)

// builder contracts a graph. Its lists hold what is left of the graph: nodes
// not contracted yet.
type builder struct {
	arcs    []arc
	out, in [][]link
	rank    []int32
	// of each node: the length of the longest chain of contracted neighbours
	// below it
	depth []int32
	done  []bool
	// of each node, as last computed; queue entries with another key are out of
	// date
	key []int64

	up, down [][]int32 // arcs of each node when it was contracted
	queue    minheap.Heap
	witness  search
	// of each node: the last targetRun in which it was a target
	target    []uint32
	targetRun uint32
}

func newBuilder(nodes int) *builder {
	return &builder{out: make([][]link, nodes), in: make([][]link, nodes), rank: make([]int32, nodes),
		depth: make([]int32, nodes), done: make([]bool, nodes), key: make([]int64, nodes),
		up: make([][]int32, nodes), down: make([][]int32, nodes),
		witness: newSearch(nodes), target: make([]uint32, nodes)}
}

// addArc adds an arc to the lists. It replaces a more expensive arc between the
// same nodes, and is left out if there is a cheaper one.
func (b *builder) addArc(i int32) {
	a := b.arcs[i]
	if putCheaper(&b.out[a.From], link{a.To, a.Cost, i}) {
		putCheaper(&b.in[a.To], link{a.From, a.Cost, i})
	}
}

func putCheaper(list *[]link, l link) bool {
	for i, old := range *list {
		if old.node == l.node {
			if old.cost <= l.cost {
				return false
			}
			(*list)[i] = l
			return true
		}
	}

	*list = append(*list, l)
	return true
}

// contractAll contracts the least important node again and again. Importance
// changes as the graph shrinks: it is computed again for the neighbours of a
// contracted node, and for each node just before its contraction.
func (b *builder) contractAll() error {
	for n := range b.rank {
		b.key[n], _ = b.rateImportance(int32(n))
		b.queue.Push(b.key[n], int32(n))
	}

	for next := int32(0); int(next) < len(b.rank); {
		p, n := b.queue.Pop()
		if b.done[n] || p != b.key[n] {
			continue // it was looked at again since
		}

		now, shortcuts := b.rateImportance(n)
		if len(b.queue) > 0 && now > p && now > b.queue[0].Key {
			b.key[n] = now
			b.queue.Push(now, n)
			continue
		}

		b.rank[n], b.done[n] = next, true
		next++
		if err := b.contractNode(n, shortcuts); err != nil {
			return err
		}
	}

	return nil
}

// shortcut is a pair of arcs that may become one.
type shortcut struct{ first, second link }

// rateImportance returns a node's importance and the shortcuts that its
// contraction needs. A node is contracted later if it needs many shortcuts in
// place of few arcs, and if long chains lie below it.
func (b *builder) rateImportance(n int32) (key int64, needed []shortcut) {
	for _, in := range b.in[n] {
		needed = b.findShortcuts(n, in, needed)
	}
	return 4*int64(len(needed)) - 2*int64(len(b.in[n])+len(b.out[n])) + int64(b.depth[n]) + keyOffset, needed
}

// keyOffset keeps keys above 0.
const keyOffset = 1 << 32

// maxSettled bounds a search for a way around a node. A search that gives up
// early costs a needless shortcut, never a wrong answer.
const maxSettled = 60

// findShortcuts appends the shortcuts from one neighbour over n for which no
// other way is as cheap.
func (b *builder) findShortcuts(n int32, in link, needed []shortcut) []shortcut {
	var limit uint64
	left := 0
	if b.targetRun++; b.targetRun == 0 { // the numbers have gone round
		clear(b.target)
		b.targetRun = 1
	}

	for _, out := range b.out[n] {
		if out.node != in.node {
			limit = max(limit, uint64(in.cost)+uint64(out.cost))
			b.target[out.node] = b.targetRun
			left++
		}
	}

	if left == 0 {
		return needed
	}
	s := &b.witness
	s.reset()
	s.relaxNode(in.node, 0, -1)

	for range maxSettled {
		node, cost, ok := s.settleNext()
		if !ok || cost > limit {
			break
		}
		if b.target[node] == b.targetRun {
			if left--; left == 0 {
				break
			}
		}

		for _, l := range b.out[node] {
			if l.node != n && cost+uint64(l.cost) <= limit {
				s.relaxNode(l.node, cost+uint64(l.cost), -1)
			}
		}
	}

	for _, out := range b.out[n] {
		if out.node != in.node && s.costOf(out.node) > uint64(in.cost)+uint64(out.cost) {
			needed = append(needed, shortcut{in, out})
		}
	}
	return needed
}

// contractNode removes a node from the lists and adds its shortcuts.
func (b *builder) contractNode(n int32, shortcuts []shortcut) error {
	var neighbours []int32
	for _, l := range b.in[n] {
		b.down[n] = append(b.down[n], l.arc)
		b.out[l.node] = withoutNode(b.out[l.node], n)
		neighbours = append(neighbours, l.node)
	}

	for _, l := range b.out[n] {
		b.up[n] = append(b.up[n], l.arc)
		b.in[l.node] = withoutNode(b.in[l.node], n)
		neighbours = append(neighbours, l.node)
	}
	b.in[n], b.out[n] = nil, nil

	for _, s := range shortcuts {
		cost := uint64(s.first.cost) + uint64(s.second.cost)
		if cost > maxShortcutCost {
			return fmt.Errorf("%w: a way of %d ms", ErrGraph, cost)
		}
		b.arcs = append(b.arcs, arc{Arc: Arc{From: s.first.node, To: s.second.node, Cost: uint32(cost)},
			first: s.first.arc, second: s.second.arc})
		b.addArc(int32(len(b.arcs) - 1))
	}
	slices.Sort(neighbours)

	for _, m := range slices.Compact(neighbours) {
		b.depth[m] = max(b.depth[m], b.depth[n]+1)
		if key, _ := b.rateImportance(m); key != b.key[m] {
			b.key[m] = key
			b.queue.Push(key, m)
		}
	}
	return nil
}

func withoutNode(list []link, node int32) []link {
	return slices.DeleteFunc(list, func(l link) bool { return l.node == node })
}
