package ch

import (
	"math"

	"github.com/ridehail/ridehail/internal/minheap"
)

// Unreached is the cost where there is no path.
const Unreached = math.MaxUint64

// search is the memory of Dijkstra's algorithm, reused by each run. Values of
// older runs are recognised by their stamp, so that nothing needs to be
// cleared.
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

// relaxNode records a path to a node if it is the cheapest so far.
func (s *search) relaxNode(n int32, cost uint64, via int32) {
	if cost < s.costOf(n) {
		s.stamp[n], s.cost[n], s.via[n] = s.run, cost, via
		s.queue.Push(int64(cost), n)
	}
}

// settleNext returns the nearest node that was not returned before.
func (s *search) settleNext() (n int32, cost uint64, ok bool) {
	for len(s.queue) > 0 {
		key, n := s.queue.Pop()
		if uint64(key) == s.cost[n] {
			return n, s.cost[n], true
		}
	}
	return 0, 0, false
}
