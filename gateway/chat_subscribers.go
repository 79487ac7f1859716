package gateway

import (
	"slices"
	"sync"

	"github.com/ridehail/ridehail/trips"
)

// chatSubscribers holds the sessions that follow each trip, for its chat. All
// methods are safe for any goroutine.
type chatSubscribers struct {
	mu     sync.Mutex // guards below
	byTrip map[trips.TripID][]*session

	// A session that joins reads how far a trip's chat is before it subscribes.
	// While some join, the newest message published of each trip is remembered,
	// so that they see whether one came in between.
	joining int
	newest  map[trips.TripID]uint32
}

func newChatSubscribers() *chatSubscribers {
	return &chatSubscribers{byTrip: map[trips.TripID][]*session{}, newest: map[trips.TripID]uint32{}}
}

// subscribersOf returns the sessions that follow a trip.
func (c *chatSubscribers) subscribersOf(id trips.TripID) []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.byTrip[id])
}

// recordMessage returns the sessions that a chat message is for.
func (c *chatSubscribers) recordMessage(id trips.TripID, seq uint32) []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joining > 0 {
		c.newest[id] = max(c.newest[id], seq)
	}
	return slices.Clone(c.byTrip[id])
}

// beginJoin must be called before a session reads how far its chat is, and
// endJoin after it has subscribed.
func (c *chatSubscribers) beginJoin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joining++
}

func (c *chatSubscribers) endJoin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joining--; c.joining == 0 {
		clear(c.newest)
	}
}

// newestWhileJoining is the number of the newest message of a trip that a
// session may have missed since it called beginJoin, or 0.
func (c *chatSubscribers) newestWhileJoining(id trips.TripID) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest[id]
}

// moveSession subscribes a session to another trip. An empty id is no trip.
func (c *chatSubscribers) moveSession(s *session, from, to trips.TripID) {
	if from == to {
		return
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if from != "" {
		left := slices.DeleteFunc(c.byTrip[from], func(o *session) bool { return o == s })
		if c.byTrip[from] = left; len(left) == 0 {
			delete(c.byTrip, from)
		}
	}

	if to != "" {
		c.byTrip[to] = append(c.byTrip[to], s)
	}
}
