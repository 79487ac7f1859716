package node

import (
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// sampleCar adds a car to those whose publishing is recorded, if its position is
// sampled.
func (r *fleetReplicator) sampleCar(d *sharedstate.Driver) {
	if r.publishedFixes.samples(d.ID, d.Trip, d.Fix.At) {
		r.sampled = append(r.sampled, tracing.Shared{ID: string(d.Trip), Phase: tracing.Position, Nth: int(d.Fix.Seq),
			Key: carKey(d.Fix.Seq), Cause: fixKey(d.Fix.Seq)})
	}
}

// hopTime returns the time, or zero if no car that is published is sampled.
func (r *fleetReplicator) hopTime() time.Time {
	if len(r.sampled) == 0 {
		return time.Time{}
	}
	return r.now()
}

// recordPublished records a round trip that carried some messages.
func (r *fleetReplicator) recordPublished(began time.Time, messages int, err error) {
	if len(r.sampled) == 0 {
		return
	}
	hop := tracing.CarPublished.Hop(tracing.Position, 0)
	hop.Batch = messages
	if err != nil {
		hop.IsFailure, hop.Code, hop.Reason = true, "unavailable", "Redis did not take the position: riders at other nodes see the next one"
	}
	r.tracer.RecordBatch(r.sampled, hop, began, r.now())
}

// recordHeardCar records a position that another node has published for those
// that watch the car. Only the positions' listener calls it.
func (r *fleetReplicator) recordHeardCar(m events.Message, c *wire.FleetCar) {
	if !r.heardFixes.samples(trips.DriverID(c.DriverId), trips.TripID(c.TripId), wire.FromMillis(c.GetFix().GetAtMs())) {
		return
	}
	seq := c.GetFix().GetSeq()
	hop := tracing.CarHeard.Hop(tracing.Position, int(seq))
	hop.Cause, hop.Bytes = carKey(seq), len(m.Payload)
	began, ended := receivedUntilNow(r.tracer, m)
	r.tracer.Record(c.TripId, hop, began, ended)
}

// recordNodeGone records that the node of a driver's phone has died, at the
// nodes whose riders watch the car: the dead one tells no more.
func (r *fleetReplicator) recordNodeGone(d sharedstate.Driver, peer string) {
	if !r.tracer.Samples(string(d.Trip)) || !r.isWatched(d.ID) {
		return
	}
	hop := tracing.NodeGone.Hop(tracing.Takeover, 0)
	hop.IsFailure, hop.Code = true, "node_gone"
	hop.Reason = "node " + peer + ", which had the driver's phone, is gone: the phone connects to another node"
	r.tracer.Record(string(d.Trip), hop, d.ReceivedAt, r.now())
}

// isWatched reports whether a session here watches the car.
func (r *fleetReplicator) isWatched(id trips.DriverID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watched[id]
}
