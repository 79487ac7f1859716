package node

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

const (
	// topicCar is a Fleet of one driver on a trip, for those that watch the car.
	topicCar = "car"
	// topicWatched asks a driver's node to publish the car at once, because a
	// node has just begun to watch it. It goes the way of the driver's news, so
	// that no one needs to know the driver's node.
	topicWatched = "watched"
)

var _ events.Handler = (*fleetReplicator)(nil)

// OnMessage takes a message of the positions' listener. It never waits for
// Redis.
func (r *fleetReplicator) OnMessage(m events.Message) {
	switch m.Topic {
	case topicFleet, topicCar:
		r.applyFleet(m)
	case topicQuestion:
		r.questions.enqueueQuestion(m.Payload)
	case topicAnswer:
		r.questions.takeAnswer(m.Payload)
	}
}

// OnGap asks for the watched cars of channels that were subscribed. The next
// message heals everything else that was missed.
func (r *fleetReplicator) OnGap(gap events.Gap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.watched {
		if gap.Channels == nil || gapIncludes(gap, events.CarChannel(id)) {
			r.toAsk = append(r.toAsk, id)
		}
	}
	if len(r.toAsk) > 0 {
		signal(r.askCars)
	}
}

// onWatchChanged follows the car of a driver while a session here watches it.
// Many goroutines may call it. Calls for one driver may come in another order
// than the changes, so that it asks how things stand.
func (r *fleetReplicator) onWatchChanged(id trips.DriverID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch is, was := r.gateway.IsWatched(id), r.watched[id]; {
	case is && !was:
		r.watched[id] = true
		r.listener.Follow(events.CarChannel(id))
	case was && !is:
		delete(r.watched, id)
		r.listener.Unfollow(events.CarChannel(id))
	}
}

// onWatched publishes the car of a driver of this node, whom another node has
// begun to watch.
func (r *fleetReplicator) onWatched(payload []byte) { r.drivers.Touch(trips.DriverID(payload)) }

// runCars publishes each change of a driver on a trip at once, until ctx ends.
// Changes that come during a round trip share the next one, the newest of each
// driver.
func (r *fleetReplicator) runCars(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.drivers.TripMoved():
		case <-r.askCars:
		}
		r.publishCars(ctx)
	}
}

func (r *fleetReplicator) publishCars(ctx context.Context) {
	var overwritten int
	r.moved, overwritten = r.drivers.TakeOnTrip(r.moved[:0])
	r.metrics.overwritten.Add(float64(overwritten))
	messages := r.takeQuestions()
	r.sampled = r.sampled[:0]
	for i := range r.moved {
		if d := &r.moved[i]; d.HasPosition() {
			r.sampleCar(d)
			fleet := &wire.Fleet{Node: r.node, Cars: []*wire.FleetCar{encodeCar(*d)}}
			messages = append(messages, r.encodeMessage(events.CarChannel(d.ID), topicCar, fleet)...)
		}
	}
	if len(messages) == 0 {
		return
	}

	began := r.hopTime()
	err := r.publish(ctx, messages)
	r.recordPublished(began, len(messages), err)
	if err != nil && !r.carsFailing && ctx.Err() == nil {
		r.log.Warn("riders of other nodes do not see their cars move; trying again with the next positions", "err", err)
	}
	r.carsFailing = err != nil
	r.metrics.published.WithLabelValues("watchers").Add(float64(len(messages)))
}

// takeQuestions returns the messages that ask drivers' nodes for watched cars.
func (r *fleetReplicator) takeQuestions() (messages []events.Addressed) {
	r.mu.Lock()
	ids := r.toAsk
	r.toAsk = nil
	r.mu.Unlock()

	for _, id := range ids {
		if d, ok := r.drivers.Get(id); ok && d.Connected && d.Node == r.node {
			continue
		}
		messages = append(messages, events.Addressed{To: events.UserChannel(trips.Driver(id)),
			Message: events.Message{Topic: topicWatched, Payload: []byte(id)}})
	}
	return messages
}

// encodeMessage returns a message to a channel, or none if it cannot be encoded.
func (r *fleetReplicator) encodeMessage(to events.Channel, topic string, body proto.Message) []events.Addressed {
	payload, err := wire.Proto.Append(nil, body)
	if err != nil {
		r.log.Error("cars cannot be encoded", "topic", topic, "err", err)
		return nil
	}
	return []events.Addressed{{To: to, Message: events.Message{Topic: topic, Payload: payload}}}
}

func encodeCar(d sharedstate.Driver) *wire.FleetCar {
	return &wire.FleetCar{DriverId: string(d.ID), ReceivedMs: wire.ToMillis(d.ReceivedAt), Status: string(d.Status),
		TripId: string(d.Trip), Connected: d.Connected,
		Fix: &wire.Fix{Seq: d.Fix.Seq, AtMs: wire.ToMillis(d.Fix.At), Heading: d.Fix.Heading, Speed: d.Fix.Speed,
			Accuracy: d.Fix.Accuracy, Point: &wire.Point{Lng: d.Fix.Lng, Lat: d.Fix.Lat}}}
}

func decodeCar(node string, c *wire.FleetCar) sharedstate.Driver {
	fix, at := c.GetFix(), c.GetFix().GetPoint()
	return sharedstate.Driver{ID: trips.DriverID(c.DriverId), Node: node, Connected: c.Connected,
		Status: sharedstate.Status(c.Status), Trip: trips.TripID(c.TripId), ReceivedAt: wire.FromMillis(c.ReceivedMs),
		Fix: location.Fix{Point: location.Point{Lng: at.GetLng(), Lat: at.GetLat()}, Seq: fix.GetSeq(),
			At: wire.FromMillis(fix.GetAtMs()), Heading: fix.GetHeading(), Speed: fix.GetSpeed(), Accuracy: fix.GetAccuracy()}}
}

// applyFleet places another node's drivers in our shared state. Messages of
// this node are ignored.
func (r *fleetReplicator) applyFleet(m events.Message) {
	var f wire.Fleet
	if err := wire.Proto.DecodeKnown(m.Payload, &f); err != nil {
		r.log.Warn("another node's drivers cannot be read", "err", err)
		return
	}
	if f.Node == r.node {
		return
	}

	for _, c := range f.Cars {
		if m.Topic == topicCar {
			r.recordHeardCar(m, c)
		}
		r.drivers.ApplyReplica(decodeCar(f.Node, c))
		r.gateway.DeliverReplica(trips.DriverID(c.DriverId))
	}
}

func gapIncludes(gap events.Gap, c events.Channel) bool {
	for _, missed := range gap.Channels {
		if missed == c {
			return true
		}
	}
	return false
}

// signal puts a signal into a channel of capacity 1, if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
