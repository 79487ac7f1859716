package node

import (
	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/trips"
)

var _ events.Handler = (*Node)(nil)

// Message hands a published message to those who follow its topic. Only the
// goroutine that listens to Redis calls it.
func (n *Node) Message(m events.Message) {
	switch m.Topic {
	case topicFleet:
		n.fleet.apply(m.Payload)
	case topicOffer, topicWithdraw, topicDeclined, topicDriverGone:
		n.offers.receive(m)
	case auth.TopicRevoked:
		n.revocations.Apply(m.Payload)
	default:
		n.gateway.Deliver(m.Topic, m.Payload)
	}
}

// Gap says that published messages may have been missed, so that the database
// must be read again. The first gap is the subscription itself.
func (n *Node) Gap(why string) {
	if why == events.GapSubscribed {
		close(n.subscribed)
	} else {
		n.log.Warn("messages may have been missed, reading the database again", "why", why)
	}
	n.gateway.Gap()
}

// onCommitted hears this node's own commits before Redis does. The dispatcher
// learns of a new trip from Redis or its scan instead: a search that began here
// and was over when the published event came would begin again.
func (n *Node) onCommitted(ev trips.Event) {
	n.gateway.Committed(ev)
	if ev.Trip.State != trips.Requested {
		n.dispatcher.Hint(ev)
	}
}

func (n *Node) onTripEvent(ev trips.Event) {
	n.dispatcher.Hint(ev)
	n.surge.onTripEvent(ev)
	if n.cfg.OnTripEvent != nil {
		n.cfg.OnTripEvent(ev)
	}
}
