package gateway

import (
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/trips"
)

// DeliverCommitted hands a move that this node has just committed to the
// sessions here that it concerns, so that they hear of it at once, and also
// while Redis is away. The event comes through Redis as well; the sessions know
// its number by then and drop the second copy. It does not wait for a phone and
// may be called from many goroutines: an event that comes out of turn makes the
// session read the store, as any gap does.
func (g *Gateway) DeliverCommitted(ev trips.Event) {
	for _, s := range g.concerned(ev.Trip) {
		s.news(func() { s.happened(ev, here) })
	}
}

// deliverCommittedChat is DeliverCommitted for a chat message.
func (g *Gateway) deliverCommittedChat(m chat.Message) {
	for _, s := range g.rooms.tell(m.Trip, m.Seq) {
		s.news(func() { s.said(m, here) })
	}
}

// origin is how a trip event or a chat message came to a session.
type origin uint8

const (
	published origin = iota // through Redis
	here                    // from the commit, on this node
	kept                    // read from the store
)

// sent is what the ledger says of a message that is written now.
func (o origin) sent() outcome {
	if o == kept {
		return outcomeRecovered
	}
	return outcomeSent
}

// again is what the ledger says of one that the phone has: on the node that committed it, each comes both ways.
func (o origin) again(toldHere bool) outcome {
	if o == here || o == published && toldHere {
		return outcomeEcho
	}
	return outcomeDuplicate
}

// place is where a trip stands among those of a session's user.
type place uint8

const (
	same    place = iota // the one the session follows
	next                 // the one after it
	earlier              // an earlier one
	unclear              // the store must say
)

// placeLocked goes by the times of trips only where nothing hangs on them, since the clocks of the nodes that set them may
// differ by minutes: a user has one active trip at most, and the store knows which.
func (s *session) placeLocked(t trips.Trip) place {
	before := s.since(t).Before(s.talk.since)
	switch {
	case t.ID == s.talk.trip:
		return same
	case t.ID == s.talk.last:
		return earlier
	case s.talk.state.Active(), before && t.State.Active():
		return unclear // one of the two is over; if it is ours, its end is missing here
	case before:
		return earlier
	}
	return next
}
