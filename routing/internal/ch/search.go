package ch

import (
	"math"

	"github.com/ridehail/ridehail/internal/minheap"
)

// Unreached is the cost of what no way leads to.
const Unreached = math.MaxUint64

// search is the working memory of Dijkstra's algorithm, used again by the next
// run: what an older run left is told by its stamp instead of being cleared.
type search struct {
	stamp []uint32
	run   uint32
	cost  []uint64
	via   []int32 // the arc by which a node was reached; -1 at a beginning
	queue minheap.Heap
}

func newSearch(nodes int) search {
	return search{stamp: make([]uint32, nodes), cost: make([]uint64, nodes), via: make([]int32, nodes)}
}

func (s *search) reset() {
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

// relaxNode notes a way to a node if it is the cheapest so far.
func (s *search) relaxNode(n int32, cost uint64, via int32) {
	if cost < s.costOf(n) {
		s.stamp[n], s.cost[n], s.via[n] = s.run, cost, via
		s.queue.Push(int64(cost), n)
	}
}

// settleNext takes the nearest node that was not taken before.
func (s *search) settleNext() (n int32, cost uint64, ok bool) {
	for len(s.queue) > 0 {
		key, n := s.queue.Pop()
		if uint64(key) == s.cost[n] {
			return n, s.cost[n], true
		}
	}
	return 0, 0, false
}
