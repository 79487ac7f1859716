package matching

// heap gives back the nearest column first, and of equally near ones the one with the lowest number, so that a graph has
// one answer. (container/heap would box every entry.)
type heap []entry

type entry struct {
	d int64
	j int32
}

func (a entry) before(b entry) bool { return a.d < b.d || (a.d == b.d && a.j < b.j) }

func (h *heap) push(d int64, j int32) {
	*h = append(*h, entry{d, j})
	q := *h
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 2
		if !q[i].before(q[up]) {
			return
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
}

func (h *heap) pop() (d int64, j int32) {
	q := *h
	top, last := q[0], len(q)-1
	q[0] = q[last]
	q = q[:last]
	*h = q
	for i := 0; ; {
		down := 2*i + 1
		if down+1 < len(q) && q[down+1].before(q[down]) {
			down++
		}
		if down >= len(q) || !q[down].before(q[i]) {
			return top.d, top.j
		}
		q[i], q[down] = q[down], q[i]
		i = down
	}
}
