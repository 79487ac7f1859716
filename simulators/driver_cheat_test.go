package simulators

import (
	"testing"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

func TestADriverSaysWhereTheCarIsBeforeEachStep(t *testing.T) {
	script := driverScript(1500)
	off := map[wire.Step]float64{}
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		if m := f.GetMoveTrip(); m != nil {
			place := map[wire.Step]*wire.Point{wire.Step_ARRIVE: c.node.trip.Pickup, wire.Step_START: c.node.trip.Pickup,
				wire.Step_COMPLETE: c.node.trip.Dropoff}[m.Step]
			off[m.Step] = location.MetresBetween(pointOf(c.fixes[len(c.fixes)-1].Point), pointOf(place))
		}
		script(c, f)
	})

	// A fix every five seconds, in which the car drives for over 15 minutes.
	stats := NewStats()
	startDrivers(t, n, DriverConfig{Speed: 200, Rate: 0.2, Decline: -1, Stats: stats})
	n.waitUntil("the trip completes", func() bool { return n.trip != nil && n.trip.State == client.StateCompleted })
	n.mu.Lock()
	defer n.mu.Unlock()
	for step, metres := range off {
		if metres > 60 {
			t.Errorf("%v: the node knows the car %.0f m away", step, metres)
		}
	}
	if s := stats.Snapshot(); len(off) != 3 || s.TooFar != 0 || s.Cheats != 0 {
		t.Errorf("%v, %+v", off, s)
	}
}

func TestAStepThatANodeTakesFromAfarIsAViolation(t *testing.T) {
	for name, refuses := range map[string]bool{"a node that refuses it": true, "a node that takes it": false} {
		t.Run(name, func(t *testing.T) {
			script := driverScript(5000)
			n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
				if m := f.GetMoveTrip(); m != nil && m.Step == wire.Step_COMPLETE && refuses &&
					location.MetresBetween(pointOf(c.fixes[len(c.fixes)-1].Point), pointOf(c.node.trip.Dropoff)) > 200 {
					c.sendAck(f, &wire.Ack{Code: string(wire.CodeTooFar)})
					return
				}
				script(c, f)
			})

			stats := NewStats()
			startDrivers(t, n, DriverConfig{Speed: 100, Rate: 10, Decline: -1, Cheat: 1, Stats: stats})
			n.waitUntil("the trip completes", func() bool { return n.trip != nil && n.trip.State == client.StateCompleted })
			n.waitUntil("the driver hears of it", func() bool { return refuses || stats.Snapshot().Violations > 0 })
			if s := stats.Snapshot(); s.Cheats != 1 || s.TooFar != 0 || refuses && (s.Violations != 0 || s.Refused != 0) {
				t.Errorf("%+v", s)
			}
		})
	}
}
