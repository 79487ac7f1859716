package events

import (
	"slices"
	"sync"
)

// listenerBacklog is how many messages may wait for a slow handler, those of
// Newest channels apart. Further ones are dropped and counted.
const listenerBacklog = 8192

// gapChannels is how many channels an overflow names. One that concerns more
// channels concerns all.
const gapChannels = 256

// received is a message, or a gap if that is not nil.
type received struct {
	Message
	gap    *Gap
	newest bool // a newer message of its channel replaces it
}

// queue is what waits for a handler, in order. Its methods may be called from
// many goroutines and never block.
type queue struct {
	limit  int                // of messages that nothing replaces
	newest func(Channel) bool // nil: no channel's
	filled chan struct{}      // holds a signal when something was put

	mu    sync.Mutex // guards all below
	items []received // those from head on wait
	head  int
	plain int // messages that wait and that nothing replaces
	// waiting is where the one message of a Newest channel waits: its index in
	// items plus the number of items that were ever removed before that slice.
	waiting map[Channel]int
	removed int
}

func newQueue(limit int, newest func(Channel) bool) *queue {
	return &queue{limit: limit, newest: newest, filled: make(chan struct{}, 1), waiting: map[Channel]int{}}
}

// What became of a message.
type outcome int

const (
	queued      outcome = iota
	overwrote           // it took the place of an older one
	dropped             // the queue was full
	droppedAGap         // so too, and that is the first since a gap
)

// putMessage adds a message.
func (q *queue) putMessage(m Message) outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	newest := q.newest != nil && q.newest(m.Channel)
	if newest {
		if at, ok := q.waiting[m.Channel]; ok {
			q.items[at-q.removed].Message = m
			return overwrote
		}
		q.waiting[m.Channel] = q.removed + len(q.items)
	} else if q.plain >= q.limit {
		if q.newest == nil && q.addGapLocked(Gap{GapOverflowed, []Channel{m.Channel}}) {
			return droppedAGap
		}
		return dropped
	} else {
		q.plain++
	}

	q.addLocked(received{Message: m, newest: newest})
	return queued
}

// putGap adds a gap and reports whether it is one of its own. Otherwise one that
// is last in the queue has taken its channels.
func (q *queue) putGap(g Gap) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.addGapLocked(g)
}

func (q *queue) addGapLocked(g Gap) bool {
	if len(q.items) > q.head {
		if last := q.items[len(q.items)-1].gap; last != nil && last.Why == g.Why {
			last.add(g.Channels)
			return false
		}
	}
	q.addLocked(received{gap: &g})
	return true
}

// add makes the gap one of further channels; nil means all.
func (g *Gap) add(channels []Channel) {
	switch {
	case g.Channels == nil:
	case channels == nil, g.Why == GapOverflowed && len(g.Channels) >= gapChannels:
		g.Channels = nil
	case g.Why == GapOverflowed && slices.Contains(g.Channels, channels[0]):
	default:
		g.Channels = append(g.Channels, channels...)
	}
}

func (q *queue) addLocked(it received) {
	q.items = append(q.items, it)
	signalWake(q.filled)
}

// countMessages returns how many messages wait.
func (q *queue) countMessages() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.plain + len(q.waiting)
}

// take removes what has waited longest.
func (q *queue) take() (it received, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return received{}, false
	}

	it = q.items[q.head]
	q.items[q.head] = received{}
	q.head++
	switch {
	case it.newest:
		delete(q.waiting, it.Channel)
	case it.gap == nil:
		q.plain--
	}

	// What was removed makes room once it is the larger part.
	if q.head == len(q.items) || q.head >= 1024 && 2*q.head >= len(q.items) {
		left := copy(q.items, q.items[q.head:])
		clear(q.items[left:])
		q.items, q.removed, q.head = q.items[:left], q.removed+q.head, 0
	}
	return it, true
}
