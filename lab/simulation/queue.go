package simulation

import (
	"container/heap"
	"time"
)

// agenda is what will happen, in the order of time, and of planning what happens at the same time.
type agenda struct {
	queue   deeds
	planned uint64
}

type deed struct {
	at    time.Time
	order uint64
	do    func()
}

// plan adds something to do; nothing can be planned for the past.
func (a *agenda) plan(at time.Time, do func()) {
	a.planned++
	heap.Push(&a.queue, deed{at, a.planned, do})
}

// next takes the first deed before a time.
func (a *agenda) next(end time.Time) (deed, bool) {
	if len(a.queue) == 0 || !a.queue[0].at.Before(end) {
		return deed{}, false
	}
	return heap.Pop(&a.queue).(deed), true
}

type deeds []deed

func (d deeds) Len() int { return len(d) }
func (d deeds) Less(i, j int) bool {
	return d[i].at.Before(d[j].at) || (d[i].at.Equal(d[j].at) && d[i].order < d[j].order)
}
func (d deeds) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *deeds) Push(x any)   { *d = append(*d, x.(deed)) }
func (d *deeds) Pop() any {
	old := *d
	x := old[len(old)-1]
	old[len(old)-1] = deed{} // lets go of what the deed held
	*d = old[:len(old)-1]
	return x
}
