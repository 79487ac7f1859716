package node

import (
	"encoding/json"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/trips"
)

var _ events.Handler = (*Node)(nil)

// OnMessage hands a published message to the parts that follow its topic. Only
// the goroutine that listens to Redis calls it.
func (n *Node) OnMessage(m events.Message) {
	switch m.Topic {
	case topicFleet:
		n.fleet.applyFleet(m.Payload)
	case topicOffer, topicWithdraw, topicDeclined, topicDriverGone:
		n.offers.receiveMessage(m)
	case topicWaiting:
		n.waiting.receiveList(m.Payload)
	case auth.TopicRevoked:
		n.revocations.ApplyNotice(m.Payload)
	case string(trips.TopicTrip):
		var ev trips.Event
		if err := json.Unmarshal(m.Payload, &ev); err != nil {
			n.gateway.DropUnreadable(m.Topic, err)
			return
		}
		n.onTripEvent(ev)
	default:
		n.gateway.DeliverMessage(m.Topic, m.Payload)
	}
}

// onTripEvent hands a published trip event to everyone who follows trips. The
// shared state comes first: what it says of the driver is never older than the
// event that the others act on.
func (n *Node) onTripEvent(ev trips.Event) {
	n.drivers.Follow(ev.Trip)
	n.dispatcher.Hint(ev)
	n.surge.onTripEvent(ev)
	if n.cfg.OnTripEvent != nil {
		n.cfg.OnTripEvent(ev)
	}
	n.gateway.DeliverTripEvent(ev)
}

// onCommitted takes a move that this node has just committed, before Redis
// brings it. The dispatcher learns of a new trip from Redis or its scan
// instead: a search that began here and was over when the published event came
// would begin again.
func (n *Node) onCommitted(ev trips.Event) {
	n.drivers.Follow(ev.Trip)
	n.suspects.NoteTripEvent(ev)
	n.gateway.DeliverCommitted(ev)
	if ev.Trip.State != trips.Requested {
		n.dispatcher.Hint(ev)
	}
}

// OnGap says that published messages may have been missed, so that the database
// must be read again: for the drivers' trips, and for each session. The first
// gap is the subscription itself.
func (n *Node) OnGap(gap events.Gap) {
	if gap.Why == events.GapSubscribed {
		close(n.subscribed)
	} else {
		n.log.Warn("messages may have been missed, reading the database again", "why", gap.Why)
	}

	n.follower.OnGap()
	n.gateway.OnGap()
}
