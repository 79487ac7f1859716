package latency

import (
	"sync"

	"github.com/ridehail/ridehail/wire"
)

// Numbered counts messages that carry numbers. Each number of a trip should
// arrive once, in order.
type Numbered struct {
	Delivered  int64 `json:"delivered"`
	Duplicated int64 `json:"duplicated"`
	Missing    int64 `json:"missing"` // skipped by a later one
}

// eventCounter counts the trip events of one user.
type eventCounter struct {
	first uint32 // number of a trip's first event that concerns the user

	mu   sync.Mutex // guards the fields below
	trip string
	last uint32
	sum  Numbered
}

func (n *eventCounter) countEvent(e *wire.TripEvent) {
	if e == nil {
		return
	}

	n.mu.Lock()
	defer n.mu.Unlock()

	if e.TripId != n.trip {
		n.trip, n.last = e.TripId, n.first-1
	}
	if e.Seq <= n.last {
		n.sum.Duplicated++
		return
	}

	n.sum.Delivered++
	n.sum.Missing += int64(e.Seq - n.last - 1)
	n.last = e.Seq
}

// sumEvents adds up the trip events of all users, from the first trip on.
func (c *crew) sumEvents() (sum Numbered) {
	c.mu.Lock()
	defer c.mu.Unlock()

	add := func(n *eventCounter) {
		n.mu.Lock()
		defer n.mu.Unlock()
		sum.Delivered += n.sum.Delivered
		sum.Duplicated += n.sum.Duplicated
		sum.Missing += n.sum.Missing
	}

	for _, d := range c.byID {
		add(&d.events)
	}
	for _, r := range c.riders {
		add(&r.events)
	}

	return sum
}
