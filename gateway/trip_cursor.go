package gateway

import (
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// tripCursor is which trip a session follows and how far the phone has got with
// it. A session follows one trip at a time, the newest. The cursor decides for
// each event and message whether it is next, was sent before, or came too
// early. It has no lock of its own; a copy is a snapshot.
type tripCursor struct {
	trip   trips.TripID
	last   trips.TripID // the trip before, whose late events are ignored
	region location.Region
	since  time.Time // when the trip became this user's

	known uint32      // the newest event heard of, perhaps too early to be sent
	state trips.State // after that event
	other trips.Actor // the other party after that event; without an ID: none yet

	seq  uint32 // the last event sent
	chat uint32 // the last chat message sent
	paid bool   // the receipt was sent
	gap  bool   // something was missed: the store must be read

	// The last event and message that came from a commit on this node. Redis
	// brings them a second time.
	committed struct{ seq, chat uint32 }
}

// origin is how a trip event or a chat message came to a session.
type origin uint8

const (
	published origin = iota // through Redis
	here                    // from the commit, on this node
	kept                    // read from the store
)

// sentOutcome is how a message is counted that is sent now.
func (o origin) sentOutcome() outcome {
	if o == kept {
		return outcomeRecovered
	}
	return outcomeSent
}

// repeatOutcome classifies a message that the phone has already. On the
// committing node each arrives twice, locally and through Redis; the second
// copy is an echo, not a duplicate.
func (o origin) repeatOutcome(committedHere bool) outcome {
	if o == here || o == published && committedHere {
		return outcomeEcho
	}
	return outcomeDuplicate
}

// ownedSince is when a trip became a user's. A driver may get a trip that was
// requested before their last one.
func ownedSince(role trips.Role, t trips.Trip) time.Time {
	if role == trips.RoleDriver {
		return t.ReservedAt
	}
	return t.RequestedAt
}

// lastForeignEvent is the number of the last event of any trip that does not
// concern a user of this role: a driver comes in with the second event.
func lastForeignEvent(role trips.Role) uint32 {
	if role == trips.RoleDriver {
		return 1
	}
	return 0
}

// place is the position of a trip among those of a session's user.
type place uint8

const (
	same    place = iota // the one the session follows
	next                 // the one after it
	earlier              // an earlier one
	unclear              // the store must say
)

// compareTrip compares a trip with the one that is followed. It compares times
// only where a mistake does no harm, since the clocks of the nodes that set
// them may differ by minutes: a user has at most one active trip, and the store
// knows which.
func (c *tripCursor) compareTrip(role trips.Role, t trips.Trip) place {
	before := ownedSince(role, t).Before(c.since)
	switch {
	case t.ID == c.trip:
		return same
	case t.ID == c.last:
		return earlier
	case c.state.IsActive(), before && t.State.IsActive():
		// One of the two is over. If it is ours, its end was missed.
		return unclear
	case before:
		return earlier
	}
	return next
}

// followTrip turns to a trip of which the phone has the events up to seq and
// the messages up to chat. A gap stays a gap.
func (c *tripCursor) followTrip(role trips.Role, t trips.Trip, seq, chat uint32) {
	last := c.last
	if c.trip != t.ID {
		last = c.trip
	}
	*c = tripCursor{trip: t.ID, last: last, region: t.Region, since: ownedSince(role, t), seq: seq, chat: chat, gap: c.gap}
}

// learnState records the state of the followed trip for one of its users; false
// if that is old.
func (c *tripCursor) learnState(role trips.Role, t trips.Trip) bool {
	if t.Version < c.known {
		return false
	}
	c.known, c.state, c.other = t.Version, t.State, trips.Rider(t.Rider)
	if role == trips.RoleRider {
		c.other = trips.Driver(t.Driver)
	}
	return true
}

// takeEvent takes an event of the followed trip. It is to be sent if the
// outcome is sent or recovered. An early one is sent once the store was read.
func (c *tripCursor) takeEvent(seq uint32, from origin) outcome {
	return takeNext(&c.seq, &c.committed.seq, seq, from)
}

// takeChat takes a message of the followed trip, as takeEvent does an event.
func (c *tripCursor) takeChat(seq uint32, from origin) outcome {
	return takeNext(&c.chat, &c.committed.chat, seq, from)
}

// takeNext advances last, and committed if the commit was here, when seq is the
// next number.
func takeNext(last, committed *uint32, seq uint32, from origin) outcome {
	switch {
	case seq <= *last:
		return from.repeatOutcome(seq <= *committed)
	case seq > *last+1:
		return outcomeEarly
	}

	*last = seq
	if from == here {
		*committed = seq
	}
	return from.sentOutcome()
}

// takeReceipt returns true if the receipt of a trip is to be sent.
func (c *tripCursor) takeReceipt(trip trips.TripID) bool {
	if trip != c.trip {
		return true // of an earlier trip, whose receipts are not counted
	}
	first := !c.paid
	c.paid = true
	return first
}

// markGap says that something was missed or came early.
func (c *tripCursor) markGap() { c.gap = true }

// beginCatchUp closes the gap and returns from where the store must be read. A
// message that comes early from now on opens it again. The caller must open it
// again if it cannot read the store.
func (c *tripCursor) beginCatchUp() tripCursor {
	c.gap = false
	return *c
}

// isBehind returns true if the store has something that the phone lacks.
func (c *tripCursor) isBehind(st trips.ResumeState) bool {
	if st.Trip.ID != c.trip {
		return st.Trip.ID != ""
	}
	return c.seq < st.Trip.Version || c.chat < st.LastChatSeq || st.SOSAcked || st.Paid && !c.paid
}
