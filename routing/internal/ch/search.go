package ch

import "math"

// Unreached is the cost of what no way leads to.
const Unreached = math.MaxUint64

// search is the working memory of Dijkstra's algorithm, used again by the next run: what an older run left is told by
// its stamp instead of being cleared.
type search struct {
	stamp []uint32
	run   uint32
	cost  []uint64
	via   []int32 // the arc by which a node was reached; -1 at a beginning
	queue queue
}

func newSearch(nodes int) search {
	return search{stamp: make([]uint32, nodes), cost: make([]uint64, nodes), via: make([]int32, nodes)}
}

func (s *search) begin() {
	if s.run++; s.run == 0 { // the stamps have gone round
		clear(s.stamp)
		s.run = 1
	}
	s.queue = s.queue[:0]
}

func (s *search) costOf(n int32) uint64 {
	if s.stamp[n] != s.run {
		return Unreached
	}
	return s.cost[n]
}

// reach notes a way to a node if it is the cheapest so far.
func (s *search) reach(n int32, cost uint64, via int32) {
	if cost < s.costOf(n) {
		s.stamp[n], s.cost[n], s.via[n] = s.run, cost, via
		s.queue.push(int64(cost), n)
	}
}

// next takes the nearest node that was not taken before.
func (s *search) next() (n int32, cost uint64, ok bool) {
	for len(s.queue) > 0 {
		key, n := s.queue.pop()
		if uint64(key) == s.cost[n] {
			return n, s.cost[n], true
		}
	}
	return 0, 0, false
}

// queue gives back the lowest key first, and of equal keys the lowest node, so that a graph has one hierarchy.
// (container/heap would cost an allocation for each entry.)
type queue []item

type item struct {
	key  int64
	node int32
}

func (a item) before(b item) bool { return a.key < b.key || (a.key == b.key && a.node < b.node) }

func (q *queue) push(key int64, node int32) {
	*q = append(*q, item{key, node})
	h := *q
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *queue) pop() (key int64, node int32) {
	h := *q
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	*q = h
	for i := 0; ; {
		down := 2*i + 1
		if down+1 < len(h) && h[down+1].before(h[down]) {
			down++
		}
		if down >= len(h) || !h[down].before(h[i]) {
			return top.key, top.node
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
}
