package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// earlyFrame completes a trip where the rider gets out.
func earlyFrame(trip trips.TripID) *wire.ClientFrame {
	f := stepFrame(trip, wire.Step_COMPLETE)
	f.GetMoveTrip().Early = true
	return f
}

// refuseSteps sends frames of a driver who lies about where the car is. None
// may be taken, and each refusal has the code.
func (r reservedRide) refuseSteps(code wire.Code, says string, frames ...*wire.ClientFrame) {
	r.t.Helper()
	before := r.store.snapshot()
	for _, f := range frames {
		r.driver.asked++
		a := r.driver.askCommand("lie-"+strings.Repeat("i", r.driver.asked), f)
		if a.Code != string(code) || !strings.Contains(a.Message, says) || a.Trip != nil {
			r.t.Errorf("%v is answered %v, want %s: %q", f, a, code, says)
		}
	}
	if r.store.snapshot() != before {
		r.t.Errorf("%v had an effect", frames)
	}
}

// A driver far from the pickup, or who never drives to the destination, makes
// no step and is paid nothing.
func TestADriverMakesNoStepFromElsewhere(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		arrive, start, complete, early := stepFrame(r.trip, wire.Step_ARRIVE), stepFrame(r.trip, wire.Step_START),
			stepFrame(r.trip, wire.Step_COMPLETE), earlyFrame(r.trip)
		toll := location.Point{Lng: market.Lng - .010, Lat: market.Lat}

		r.driver.driveTo(toll)
		r.refuseSteps(wire.CodeTooFar, "You are 1.1 km from the pickup.", arrive)
		r.refuseSteps(wire.CodeIllegalMove, "", start, complete, early) // out of turn
		r.pass(31 * time.Second)
		r.refuseSteps(wire.CodeNoPosition, "Send your position", arrive)
		r.driver.driveTo(market)
		r.driver.mustDo(arrive)

		r.driver.driveTo(toll)
		r.refuseSteps(wire.CodeTooFar, "You are 1.1 km from the pickup.", start)
		r.refuseSteps(wire.CodeIllegalMove, "", arrive, complete, early)
		r.driver.driveTo(market)
		r.driver.mustDo(start)

		r.refuseSteps(wire.CodeTooFar, "You are 6.0 km from the destination. Drive on, or send the step again with early=true", complete)
		r.refuseSteps(wire.CodeTooFar, "A ride cannot end early before it has left the pickup.", early)
		r.pass(time.Hour)
		r.refuseSteps(wire.CodeNoPosition, "Send your position", complete, early)
		r.refuseSteps(wire.CodeIllegalMove, "", arrive, start)

		r.driver.driveTo(airport)
		r.driver.mustDo(complete)
		if page := r.operatorsPage(); strings.Contains(page, "completed early") {
			t.Errorf("an honest ride is shown to the operators: %s", page)
		}
	})
}

// A driver whose phone has sent nothing to this node moves nothing.
func TestADriverWithoutAPositionMakesNoStep(t *testing.T) {
	c := newTestNode(t, nil)
	r := reservedRide{testNode: c, trip: c.openTrip("r"), driver: c.connectPhone(trips.Driver("d"), asProto, nil)}
	c.moveTrip("d", r.trip, trips.KindReserved)
	r.refuseSteps(wire.CodeNoPosition, "with the same id", stepFrame(r.trip, wire.Step_ARRIVE))
	c.moveTrip("d", r.trip, trips.KindArrived)
	r.refuseSteps(wire.CodeNoPosition, "with the same id", stepFrame(r.trip, wire.Step_START))
	c.moveTrip("d", r.trip, trips.KindOnTrip)
	r.refuseSteps(wire.CodeNoPosition, "with the same id", stepFrame(r.trip, wire.Step_COMPLETE), earlyFrame(r.trip))
}

func TestARideThatEndsEarlyIsShownToTheOperatorsAtItsQuotedFare(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTestNode(t, nil)
		r := newReservedRide(t, c, riders, drivers)
		r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
		r.driver.mustDo(stepFrame(r.trip, wire.Step_START))
		r.driver.driveTo(location.Point{Lng: 3.39, Lat: 6.475}) // halfway

		for _, f := range []*wire.ClientFrame{stepFrame(r.trip, wire.Step_ARRIVE), stepFrame(r.trip, wire.Step_START)} {
			f.GetMoveTrip().Early = true
			r.refuseSteps(wire.CodeBadField, "Only COMPLETE can be early.", f)
		}

		// The id of the refused step does for the early one.
		if a := r.driver.askCommand("end", stepFrame(r.trip, wire.Step_COMPLETE)); a.Code != string(wire.CodeTooFar) {
			t.Fatalf("halfway: %v", a)
		}
		for range 2 {
			if a := r.driver.askCommand("end", earlyFrame(r.trip)); a.Code != "" || a.Trip.GetState() != "completed" ||
				int64(a.Trip.Fare.GetMinor()) != airQuote(market, airport).Fare.Minor {
				t.Errorf("the early end is answered %v", a)
			}
		}
		if a := r.driver.askCommand("end", stepFrame(r.trip, wire.Step_COMPLETE)); a.Code != string(wire.CodeKeyReused) {
			t.Errorf("the same id, not early: %v", a)
		}

		page, list := r.operatorsPage(), getPath(c.api.Admin(), "/ops/suspects").Body.String()
		if !strings.Contains(page, fmt.Sprintf(`<b>completed early</b> · driver d · trip <a href="/xray?trip=%[1]s">%[1]s</a>, 2991 m short of the destination`, r.trip)) {
			t.Errorf("the operators see %s", page)
		}
		if !strings.Contains(list, `"reason":"completed early"`) || !strings.Contains(list, `"times":1,"trip_id":"`+string(r.trip)+`"`) {
			t.Errorf("their script reads %s", list)
		}
		if metrics := getPath(c.api.Admin(), "/metrics").Body.String(); !strings.Contains(metrics, `ridehail_flags_total{reason="completed early"} 1`+"\n") {
			t.Error("it is not counted once")
		}
	})
}
