// Package minheap is the priority queue of Dijkstra's algorithm: numbered nodes
// by key, the lowest key first. The standard library's heap would allocate for
// each entry.
package minheap

// Heap returns the lowest key first, and of equal keys the lowest node, so that
// a computation with it has one result. The zero value is empty. A node may be
// in it several times.
type Heap []Item

// Item is a node with its key.
type Item struct {
	Key  int64
	Node int32
}

func (a Item) sortsBefore(b Item) bool { return a.Key < b.Key || (a.Key == b.Key && a.Node < b.Node) }

// Push adds a node.
func (h *Heap) Push(key int64, node int32) {
	*h = append(*h, Item{key, node})
	q := *h
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 2
		if !q[i].sortsBefore(q[up]) {
			return
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
}

// Pop removes and returns the first item of a heap that is not empty. Before
// the call it is at index 0.
func (h *Heap) Pop() (key int64, node int32) {
	q := *h
	top, last := q[0], len(q)-1
	q[0] = q[last]
	q = q[:last]
	*h = q

	for i := 0; ; {
		down := 2*i + 1
		if down+1 < len(q) && q[down+1].sortsBefore(q[down]) {
			down++
		}
		if down >= len(q) || !q[down].sortsBefore(q[i]) {
			return top.Key, top.Node
		}
		q[i], q[down] = q[down], q[i]
		i = down
	}
}
