package routing

import "math"

// unreached is the cost, in milliseconds, of a node that no way leads to.
const unreached = math.MaxUint64

// search holds the working memory of one Dijkstra or A* run, used again by the next one: entries of an older run are
// told by their stamp instead of being cleared.
type search struct {
	stamp []uint32
	run   uint32
	cost  []uint64 // milliseconds
	via   []arc    // the arc by which a node was reached; its node is the one before; edge -1 at the beginning
	queue []entry
}

type entry struct {
	key  uint64 // cost, and for A* the least that may still come
	cost uint64
	node int32
}

func newSearch(nodes int) *search {
	return &search{stamp: make([]uint32, nodes), cost: make([]uint64, nodes), via: make([]arc, nodes)}
}

func (s *search) begin() {
	s.run++
	if s.run == 0 { // the stamps have gone round
		clear(s.stamp)
		s.run = 1
	}
	s.queue = s.queue[:0]
}

func (s *search) costOf(node int32) uint64 {
	if s.stamp[node] != s.run {
		return unreached
	}
	return s.cost[node]
}

// reach notes a way to a node if it is the cheapest so far; ahead is what A* knows to lie before it.
func (s *search) reach(node int32, cost, ahead uint64, via arc) {
	if cost >= s.costOf(node) {
		return
	}
	s.stamp[node], s.cost[node], s.via[node] = s.run, cost, via
	s.push(entry{key: cost + ahead, cost: cost, node: node})
}

// next takes the nearest node that was not taken at that cost before.
func (s *search) next() (entry, bool) {
	for len(s.queue) > 0 {
		if e := s.pop(); e.cost == s.cost[e.node] {
			return e, true
		}
	}
	return entry{}, false
}

// push and pop are a binary heap; container/heap would cost an allocation per entry.
func (s *search) push(e entry) {
	q := append(s.queue, e)
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if q[parent].key <= e.key {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = e
	s.queue = q
}

func (s *search) pop() entry {
	q := s.queue
	top, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	s.queue = q
	for i := 0; len(q) > 0; {
		child := 2*i + 1
		if child >= len(q) {
			q[i] = last
			break
		}
		if child+1 < len(q) && q[child+1].key < q[child].key {
			child++
		}
		if last.key <= q[child].key {
			q[i] = last
			break
		}
		q[i] = q[child]
		i = child
	}
	return top
}
