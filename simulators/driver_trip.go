package simulators

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// applyTrip takes a newer version of the driver's trip, from an ack or an event
// in any order. It ignores nil, older versions and trips of other drivers.
func (d *driver) applyTrip(t *wire.Trip, now time.Time) {
	if t == nil || t.DriverId != d.phone.id || t.Id == d.endedTripID {
		return
	}
	if d.latestTrip != nil && d.latestTrip.Id == t.Id && t.Version <= d.latestTrip.Version {
		return
	}
	if !client.IsActive(t.State) && (d.trip == nil || d.trip.Id != t.Id) {
		return // The trip has already ended for this driver.
	}

	d.latestTrip = t
	if !client.IsActive(t.State) {
		d.leaveTrip()
		return
	}

	d.trip, d.onRoute, d.stepCommand, d.boardedAt = t, false, "", time.Time{}
	d.planCheat()
	switch t.State {
	case client.StateReserved:
		d.sos.planCall(now)
		d.chat.planLine(now, 0.3, "On my way", "Hello, I am coming", "I will be there soon")
	case client.StateArrived:
		d.boardedAt = now.Add(d.clock.realDuration(drawUniform(d.choiceRandom, 5, 20)))
		d.chat.planLine(now, 0.5, "I am here", "I am outside, the car with the lights on", "Waiting at the pickup")
	}
}

// leaveTrip ends the trip for the driver, who cruises again from here.
func (d *driver) leaveTrip() {
	d.endedTripID = d.trip.Id
	d.trip, d.onRoute, d.stepCommand, d.boardedAt = nil, false, "", time.Time{}
	d.route = routeDrive{}
	d.chat.cancelLine()
	d.sos.cancelCall()
}

// advanceTrip drives and sends the step that the trip needs next.
func (d *driver) advanceTrip(ctx context.Context, now time.Time) {
	if d.stateUnknown {
		return
	}

	switch d.trip.State {
	case client.StateReserved:
		if d.driveTo(ctx, d.trip.Pickup) {
			d.requestStep(wire.Step_ARRIVE, now)
		}
		d.tryStepFromAfar(wire.Step_ARRIVE, d.trip.Pickup, now)
	case client.StateArrived:
		d.route = routeDrive{}
		if isDue(d.boardedAt, now) {
			d.requestStep(wire.Step_START, now)
		}
	case client.StateOnTrip:
		if d.driveTo(ctx, d.trip.Dropoff) {
			d.requestStep(wire.Step_COMPLETE, now)
		}
		d.tryStepFromAfar(wire.Step_COMPLETE, d.trip.Dropoff, now)
	}
}

// driveTo drives to a place. It returns true when the car is there.
func (d *driver) driveTo(ctx context.Context, to *wire.Point) bool {
	if !d.onRoute {
		if d.route, d.onRoute = d.findRoute(ctx, d.at, pointOf(to), true); !d.onRoute {
			return false
		}
		// The wait for a search slot is no driving time.
		d.positionAt = time.Now()
	}
	return d.route.isOver()
}

// requestStep sends a step, unless one is unanswered or retryStepAt is ahead. A
// fix goes before it, so that the node knows that the car is here: the last one
// may be a second old, in which a fast city drives far.
func (d *driver) requestStep(s wire.Step, now time.Time) {
	if d.stepCommand == "" && !now.Before(d.retryStepAt) {
		d.sendFreshFix(now)
		d.stepCommand = d.phone.sendCommand(client.NewFrame(&wire.MoveTrip{TripId: d.trip.Id, Step: s}))
	}
}
