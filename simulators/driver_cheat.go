package simulators

import (
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// cheatMetres is a distance from a place at which no node may take a car for
// one that is there, at any accuracy of its fix.
const cheatMetres = 1200

// planCheat decides whether the driver asks for the trip's next step before the
// car is where it belongs.
func (d *driver) planCheat() { d.willCheat = d.cheatRandom.Float64() < d.Cheat }

// tryStepFromAfar asks for a step while the car is far from its place, if that
// was planned. The node must refuse it.
func (d *driver) tryStepFromAfar(s wire.Step, place *wire.Point, now time.Time) {
	if !d.willCheat || d.cheatCommand != "" || location.MetresBetween(d.at, pointOf(place)) < cheatMetres {
		return
	}
	d.willCheat = false
	d.Stats.cheats.Add(1)
	d.sendFreshFix(now)
	d.cheatCommand, d.cheatPlace = d.phone.sendCommand(client.NewFrame(&wire.MoveTrip{TripId: d.trip.Id, Step: s})), pointOf(place)
}

// handleCheatAck reports a step that a node took from afar. One that was sent
// again until the car had come near is honest by then.
func (d *driver) handleCheatAck(a *wire.Ack, now time.Time) {
	d.cheatCommand = ""
	if metres := location.MetresBetween(d.at, d.cheatPlace); a.Code == "" && metres >= cheatMetres {
		d.Stats.addViolation("driver %s made a step of trip %s from %.0f m away", d.phone.id, a.Trip.GetId(), metres)
	}
	d.applyTrip(a.Trip, now)
}
