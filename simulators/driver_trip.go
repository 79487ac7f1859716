package simulators

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// follow takes a newer version of the driver's trip; nil and older ones mean
// nothing. Acks and events tell the same story twice, in any order.
func (d *driver) follow(t *wire.Trip, now time.Time) {
	if t == nil || t.DriverId != d.phone.id || t.Id == d.ended {
		return
	}
	if d.last != nil && d.last.Id == t.Id && t.Version <= d.last.Version {
		return
	}
	if !client.Active(t.State) && (d.trip == nil || d.trip.Id != t.Id) {
		return // the end of a trip that is over for us
	}

	d.last = t
	if !client.Active(t.State) {
		d.release()
		return
	}

	d.trip, d.led, d.stepping, d.boardAt = t, false, "", time.Time{}
	switch t.State {
	case client.StateReserved:
		d.help.plan(now)
		d.talk.plan(now, 0.3, "On my way", "Hello, I am coming", "I will be there soon")
	case client.StateArrived:
		d.boardAt = now.Add(d.clock.wall(uniform(d.choices, 5, 20)))
		d.talk.plan(now, 0.5, "I am here", "I am outside, the car with the lights on", "Waiting at the pickup")
	}
}

// release ends the trip for the driver, who cruises again from here.
func (d *driver) release() {
	d.ended = d.trip.Id
	d.trip, d.led, d.stepping, d.boardAt = nil, false, "", time.Time{}
	d.way = way{}
	d.talk.hush()
	d.help.hush()
}

// serve does what the trip wants next.
func (d *driver) serve(ctx context.Context, now time.Time) {
	if d.unsure {
		return
	}

	switch d.trip.State {
	case client.StateReserved:
		if d.lead(ctx, d.trip.Pickup) {
			d.step(wire.Step_ARRIVE, now)
		}
	case client.StateArrived:
		d.way = way{}
		if due(d.boardAt, now) {
			d.step(wire.Step_START, now)
		}
	case client.StateOnTrip:
		if d.lead(ctx, d.trip.Dropoff) {
			d.step(wire.Step_COMPLETE, now)
		}
	}
}

// lead drives to a place and says when the car is there.
func (d *driver) lead(ctx context.Context, to *wire.Point) bool {
	if !d.led {
		if d.way, d.led = d.route(ctx, d.at, pointOf(to), true); !d.led {
			return false
		}
		d.rolled = time.Now() // waiting for a turn is not driving
	}
	return d.way.over()
}

// step moves the trip on, unless that is being done.
func (d *driver) step(s wire.Step, now time.Time) {
	if d.stepping == "" && !now.Before(d.stepAt) {
		d.stepping = d.phone.command(client.Frame(&wire.MoveTrip{TripId: d.trip.Id, Step: s}))
	}
}
