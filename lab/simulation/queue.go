package simulation

import (
	"container/heap"
	"time"
)

// eventQueue holds the events to come, ordered by time; events of the same time
// keep the order in which they were scheduled.
type eventQueue struct {
	queue     eventHeap
	scheduled uint64
}

type event struct {
	at    time.Time
	order uint64
	run   func()
}

// schedule adds an event. Its time must not be before that of the last event.
func (a *eventQueue) schedule(at time.Time, do func()) {
	a.scheduled++
	heap.Push(&a.queue, event{at, a.scheduled, do})
}

// popBefore removes and returns the first event before a time.
func (a *eventQueue) popBefore(end time.Time) (event, bool) {
	if len(a.queue) == 0 || !a.queue[0].at.Before(end) {
		return event{}, false
	}
	return heap.Pop(&a.queue).(event), true
}

type eventHeap []event

func (d eventHeap) Len() int { return len(d) }
func (d eventHeap) Less(i, j int) bool {
	return d[i].at.Before(d[j].at) || (d[i].at.Equal(d[j].at) && d[i].order < d[j].order)
}
func (d eventHeap) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *eventHeap) Push(x any)   { *d = append(*d, x.(event)) }
func (d *eventHeap) Pop() any {
	old := *d
	x := old[len(old)-1]
	old[len(old)-1] = event{} // lets go of what the deed held
	*d = old[:len(old)-1]
	return x
}
