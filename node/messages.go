package node

import (
	"encoding/json"
	"slices"

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
		n.fleet.applyFleet(m)
	case topicOffer, topicWithdraw, topicDeclined, topicDriverGone:
		n.offers.receiveMessage(m)
	case events.TopicWake:
		n.relay.OnWake(m.Payload)
	case topicWatched:
		n.fleet.onWatched(m.Payload)
	case topicDemand:
		n.surge.takeCounts(m.Payload)
	case topicWaiting:
		n.waiting.receiveList(m.Payload)
	case topicXrayQuestion:
		n.xray.hear(n.xray.asked, m.Payload)
	case topicXrayAnswer:
		n.xray.hear(n.xray.answered, m.Payload)
	case auth.TopicRevoked:
		n.revocations.ApplyNotice(m.Payload)
	case string(trips.TopicTrip):
		var ev trips.Event
		if err := json.Unmarshal(m.Payload, &ev); err != nil {
			n.gateway.DropUnreadable(m.Topic, err)
			return
		}
		n.recordHeardEvent(m, ev)
		n.onTripEvent(m.Channel, ev)
	default:
		n.onPhoneMessage(m)
	}
}

// onTripEvent hands a published trip event to the parts that its channel means.
// On a user's channel it is for the phones of that user. On this node's own it
// is for the owner of the trip's region. On the channel of an old region it may
// be for both. The shared state comes first: what it says of the driver is never
// older than the event that the others act on.
func (n *Node) onTripEvent(c events.Channel, ev trips.Event) {
	n.drivers.Follow(ev.Trip)
	if user, ok := events.UserOf(c); ok {
		n.gateway.DeliverTripEventTo(user, ev)
		return
	}

	n.dispatcher.Hint(ev)
	n.surge.onTripEvent(ev)
	if n.cfg.OnTripEvent != nil {
		n.cfg.OnTripEvent(ev)
	}

	if c != events.NodeChannel(n.cfg.Name) {
		n.gateway.DeliverTripEvent(ev)
	}
}

// onPhoneMessage hands on chat, receipts and all else that is for phones only.
func (n *Node) onPhoneMessage(m events.Message) {
	n.recordHeardNews(m)
	if user, ok := events.UserOf(m.Channel); ok {
		n.gateway.DeliverMessageTo(user, m.Topic, m.Payload)
	} else {
		n.gateway.DeliverMessage(m.Topic, m.Payload)
	}
}

// onCommitted takes a move that this node has just committed, before Redis
// brings it. The dispatcher learns of a new trip from Redis or its scan
// instead: a search that began here and was over when the published event came
// would begin again.
func (n *Node) onCommitted(ev trips.Event) {
	n.recordRide(ev.Trip)
	n.drivers.Follow(ev.Trip)
	n.suspects.NoteTripEvent(ev)
	n.gateway.DeliverCommitted(ev)
	if ev.Trip.State != trips.Requested {
		n.dispatcher.Hint(ev)
	}
}

// OnGap says that messages on some channels may have been missed, so that the
// database must be read again: for the drivers' trips if the channel is for the
// whole node, and for the sessions of the users whose channels are among them.
// Each channel has a first gap, which is its subscription.
func (n *Node) OnGap(gap events.Gap) {
	if gap.Why != events.GapSubscribed {
		n.log.Warn("messages may have been missed, reading the database again", "why", gap.Why, "channels", len(gap.Channels))
	}
	isSubscribed := gap.Why != events.GapOverflowed

	if gap.Channels == nil {
		n.follower.OnGap()
		n.dispatcher.ScanSoon()
		n.gateway.OnGap()
		if isSubscribed {
			n.news.confirmUsers(nil)
			n.confirmChannels(n.ownChannels()...)
		}
		return
	}

	users := make([]trips.Actor, 0, len(gap.Channels))
	var others []events.Channel
	for _, c := range gap.Channels {
		if user, ok := events.UserOf(c); ok {
			users = append(users, user)
		} else {
			others = append(others, c)
		}
	}

	n.onGapOfNode(others)
	// First the sessions that have read their state, then those that wait.
	n.gateway.OnGapOf(users...)
	if isSubscribed {
		n.news.confirmUsers(users)
		n.confirmChannels(others...)
	}
}

// onGapOfNode handles a gap on channels that are no user's.
func (n *Node) onGapOfNode(channels []events.Channel) {
	forOwner, forPhones := false, false
	for _, c := range channels {
		forOwner = forOwner || c == events.NodeChannel(n.cfg.Name)
		forPhones = forPhones || !slices.Contains(n.ownChannels(), c)
	}
	if forOwner || forPhones {
		n.follower.OnGap()
		n.dispatcher.ScanSoon()
	}
	if forPhones { // of an old region
		n.gateway.OnGap()
	}
}

// ownChannels are those that a node must hear before it serves.
func (n *Node) ownChannels() []events.Channel {
	return []events.Channel{events.NodeChannel(n.cfg.Name), events.Everyone}
}

// confirmChannels takes note that channels are subscribed. When all of
// ownChannels are, the node may serve.
func (n *Node) confirmChannels(channels ...events.Channel) {
	if len(n.unconfirmed) == 0 {
		return
	}
	for _, c := range channels {
		delete(n.unconfirmed, c)
	}
	if len(n.unconfirmed) == 0 {
		close(n.subscribed)
	}
}
