package node

import (
	"context"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// audienceOf returns the channels on which a message of the outbox is told. The
// nodes with phones of the rider and the driver hear it, and of a trip event
// the node that owns the trip's region. A new call for help is for the
// operators, who have it from its stream.
func (n *Node) audienceOf(m trips.OutboxMessage) (to []events.Channel) {
	if m.Kind == sos.KindSOS {
		return nil
	}

	if m.Rider != "" {
		to = append(to, events.UserChannel(trips.Rider(m.Rider)))
	}
	if m.Driver != "" && m.Topic != trips.TopicReceipt {
		to = append(to, events.UserChannel(trips.Driver(m.Driver)))
	}
	if m.Topic == trips.TopicTrip {
		to = append(to, events.NodeChannel(n.members.OwnerOf(m.Region)))
	}

	if n.members.HasEarlierBuild() {
		to = append(to, events.OldRegionChannel(m.Region))
	}
	return to
}

// publishToUser publishes to the nodes with phones of a user. The message may be
// lost.
func (n *Node) publishToUser(ctx context.Context, to trips.Actor, topic string, region location.Region, payload []byte) error {
	m := events.Message{Topic: topic, Region: region, Payload: payload}
	all := []events.Addressed{{To: events.UserChannel(to), Message: m}}
	if n.members.HasEarlierBuild() {
		all = append(all, events.Addressed{To: events.OldRegionChannel(region), Message: m})
	}
	return n.redis.PublishAll(ctx, all)
}
