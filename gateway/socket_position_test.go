package gateway

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

func TestARiderWhoAcksNothingGetsTwoPositionsAndThenTheNewest(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		for range 9 {
			r.driver.driveOn()
		}
		r.rider.awaitHandled()
		if got := r.rider.positionsSoFar(); len(got) != 2 || got[1].N != 2 || got[1].Overwritten != 0 {
			t.Fatalf("without an ack: %v", got)
		}
		r.rider.ackPositions(99) // it was never sent
		r.rider.awaitHandled()
		if got := r.rider.positionsSoFar(); len(got) != 2 {
			t.Fatalf("after a false ack: %v", got)
		}
		r.rider.ackPositions(2)

		third := awaitBodies[*wire.ServerFrame_Position](r.rider, 3)[2].Position
		if third.Seq != 10 || third.N != 3 || third.Overwritten != 7 || third.AtMs != wire.ToMillis(r.now()) || third.DriverId != "d" {
			t.Errorf("after the ack: %v", third)
		}

		r.awaitCondition("all are booked", func() bool {
			return r.countDelivery(classPosition, outcomeSent) == 3 && r.countDelivery(classPosition, outcomeOverwritten) == 7
		})
	})
}

// In all orders of acks, positions only go forward, at most two are
// un-acked, and none is unaccounted for.
func TestPositionsGoForwardAndAddUp(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asJSONText)
	acked := uint32(0)
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 10).Draw(rt, "fixes") {
			r.driver.driveOn()
		}
		r.rider.awaitHandled()
		got := r.rider.positionsSoFar()

		last := got[len(got)-1]
		if last.N-acked > ackWindow {
			rt.Fatalf("%d sent, %d acked", last.N, acked)
		}

		if rapid.Bool().Draw(rt, "ack") {
			acked = rapid.Uint32Range(acked, last.N).Draw(rt, "acked")
			r.rider.ackPositions(acked)
			r.rider.awaitHandled()
		}
	})

	r.rider.ackPositions(uint32(len(r.rider.positionsSoFar())))
	r.rider.awaitHandled()
	got := r.rider.positionsSoFar()
	for i, p := range got {
		if p.N != uint32(i+1) || (i > 0 && (p.AtMs <= got[i-1].AtMs || p.Overwritten < got[i-1].Overwritten)) {
			t.Fatalf("position %d is %v after %v", i+1, p, got[i-1])
		}
	}

	if last := got[len(got)-1]; int(last.N+last.Overwritten) != r.countFixes("accepted") || last.Seq != r.driver.fixes {
		t.Errorf("%d sent and %d overwritten of %d; the last is %v", last.N, last.Overwritten, r.countFixes("accepted"), last)
	}
}

func TestARefusedFixIsCountedAndShownToNoRider(t *testing.T) {
	// JSON cannot even say NaN but as a word
	r := newReservedRide(t, newTestNode(t, nil), asProto, asProto)
	r.rider.ackPositions(1)
	here := func(change func(*wire.Fix)) *wire.ClientFrame {
		f := fixFrame(location.Point{Lng: market.Lng + 1e-4, Lat: market.Lat}, 50, r.now().Add(time.Second))
		change(f.GetFix())
		return f
	}

	for _, c := range []struct {
		result string
		fix    *wire.ClientFrame
	}{
		{"teleport", here(func(f *wire.Fix) { f.Point = translate.EncodePoint(airport) })},
		{"stale", here(func(f *wire.Fix) { f.AtMs -= 5000 })},
		{"stale", here(func(f *wire.Fix) { f.AtMs = 1e6 })},
		{"future", here(func(f *wire.Fix) { f.AtMs += 60_000 })},
		{"not_a_number", here(func(f *wire.Fix) { f.Point.Lat = math.NaN() })},
		{"not_a_number", here(func(f *wire.Fix) { f.Speed = float32(math.Inf(1)) })},
		{"out_of_range", here(func(f *wire.Fix) { f.Point.Lat = 91 })},
		{"inaccurate", here(func(f *wire.Fix) { f.Accuracy = 5000 })},
		{"malformed", here(func(f *wire.Fix) { f.AtMs = math.NaN() })},
		{"malformed", here(func(f *wire.Fix) { f.AtMs = 1e300 })},
		{"malformed", here(func(f *wire.Fix) { f.Point = nil })},
	} {
		before := r.countFixes(c.result)
		r.driver.sendFrame(c.fix)
		r.driver.awaitHandled()
		if r.countFixes(c.result) != before+1 {
			t.Errorf("%v: %s was not counted", c.fix, c.result)
		}
	}

	r.rider.sendFrame(here(func(*wire.Fix) {})) // riders have no car
	r.rider.awaitHandled()
	if got := r.rider.positionsSoFar(); len(got) != 1 || r.countFixes("accepted") != 1 || r.countFixes("malformed") != 4 {
		t.Errorf("the rider saw %v", got)
	}
	r.driver.driveOn() // and an honest one goes through
	awaitBodies[*wire.ServerFrame_Position](r.rider, 2)
}

func TestACarIsShownToItsRiderAloneAndOnlyWhileTheyRide(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTestNode(t, nil)
		early, other := c.connectPhone(trips.Rider("r"), drivers, nil), c.connectPhone(trips.Rider("other"), riders, nil)
		r := newReservedRide(t, c, riders, drivers)
		awaitBodies[*wire.ServerFrame_Position](early, 1)

		for i := range 3 {
			r.driver.driveOn()
			for _, p := range []*phone{r.rider, early} {
				awaitBodies[*wire.ServerFrame_Position](p, i+2)
				p.ackPositions(uint32(i + 2))
			}
		}

		late := c.connectPhone(trips.Rider("r"), riders, nil)
		awaitBodies[*wire.ServerFrame_Position](late, 1)
		r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
		r.driver.mustDo(stepFrame(r.trip, wire.Step_START))
		r.driver.driveTo(airport)
		r.driver.mustDo(stepFrame(r.trip, wire.Step_COMPLETE))
		r.rider.awaitEvents(5)
		r.rider.awaitHandled()
		seen := len(r.rider.positionsSoFar())
		r.driver.driveTo(airport)
		r.driver.driveTo(airport)

		for _, p := range []*phone{r.rider, early, late, other} {
			p.ackPositions(uint32(len(p.positionsSoFar())))
			p.awaitHandled()

			for _, pos := range p.positionsSoFar() {
				if pos.Seq > r.driver.fixes-2 {
					t.Errorf("%v saw the car after the ride: %v", p.who, pos)
				}
			}
		}

		for _, s := range r.g.sessions.All(nil) {
			// Who looked up the watchers just before the end.
			s.out.deliverPosition("d", location.Fix{Point: market, Seq: 99, At: r.now().Add(time.Second)}, r.now())
		}

		r.rider.awaitHandled()
		if n := len(r.rider.positionsSoFar()); n != seen {
			t.Errorf("the rider saw %d positions after the ride", n-seen)
		}
		if n := len(other.positionsSoFar()) + len(r.driver.positionsSoFar()); n != 0 {
			t.Errorf("strangers saw %d positions", n)
		}
	})
}

// A rider whose car comes from another node sees the shared state's newest
// position.
func TestACarOfAnotherNodeIsShownWhenTheSharedStateMoves(t *testing.T) {
	c := newTestNode(t, nil)
	rider := c.connectPhone(trips.Rider("r"), asProto, nil)
	id := c.openTrip("r")
	c.moveTrip("far", id, trips.KindReserved)
	rider.awaitEvents(2)

	for i := range 2 {
		c.pass(time.Second)
		c.drivers.Connect("far", "elsewhere")

		at := location.Point{Lng: market.Lng + float64(i)*1e-5, Lat: market.Lat}
		if why := c.drivers.Move("far", location.Fix{Point: at, Seq: uint32(i + 1), At: c.now()}); why != location.Accepted {
			t.Fatal(why)
		}

		c.g.DeliverReplica("far")
		c.g.DeliverReplica("far") // told twice, shown once
		if p := awaitBodies[*wire.ServerFrame_Position](rider, i+1)[i].Position; p.Seq != uint32(i+1) {
			t.Errorf("saw %v", p)
		}
	}

	rider.awaitHandled()
	if n := len(rider.positionsSoFar()); n != 2 {
		t.Errorf("saw %d positions", n)
	}
}

// One who resumes a ride of long ago is told how it went, and not where its
// driver is today.
func TestResumingAnOldRideShowsNoCar(t *testing.T) {
	c := newTestNode(t, nil)
	old := c.openTrip("r")
	c.moveTrip("d", old, trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
	c.moveTrip("d", c.openTrip("between"), trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
	driver := c.connectPhone(trips.Driver("d"), asProto, nil)
	driver.mustDo(availableFrame(true))

	now := c.openTrip("next")
	c.moveTrip("d", now, trips.KindReserved)
	driver.driveOn()

	p := c.connectPhone(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch, TripId: string(old), TripSeq: 1})
	if seqs := p.awaitEvents(4); !sameUpTo(seqs, 2, 5) || !p.awaitWelcome().Recovered {
		t.Errorf("recovered=%v, events %v", p.awaitWelcome().Recovered, seqs)
	}

	driver.driveOn()
	p.awaitHandled()
	if got := p.positionsSoFar(); len(got) != 0 {
		t.Errorf("saw %v", got)
	}
	if held := c.countDelivery(classPosition, outcomeOverwritten); held != 0 {
		t.Errorf("%v positions were only just not sent", held)
	}
	if d, _ := c.drivers.Get("d"); d.Trip != now || d.Status != "reserved" {
		t.Errorf("the driver, on another ride by now, became %+v", d)
	}
}

func TestCommsLostIsToldOnceAndRestoredWithTheNextFix(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		r.g.tickSessions()
		r.pass(detector.CommsLostAfter)
		r.g.tickSessions()
		r.rider.awaitHandled()
		if n := len(bodiesOf[*wire.ServerFrame_Comms](r.rider.framesSoFar())); n != 0 {
			t.Fatalf("told %d times too early", n)
		}

		for range 3 {
			r.pass(time.Second)
			r.g.tickSessions()
		}

		lost := awaitBodies[*wire.ServerFrame_Comms](r.rider, 1)[0].Comms
		if !lost.Lost || lost.DriverId != "d" || lost.TripId != string(r.trip) || lost.AgeS != 21 {
			t.Errorf("lost: %v", lost)
		}

		r.driver.driveOn()
		if back := awaitBodies[*wire.ServerFrame_Comms](r.rider, 2)[1].Comms; back.Lost || back.DriverId != "d" {
			t.Errorf("restored: %v", back)
		}
		r.rider.awaitHandled()
		if n := len(bodiesOf[*wire.ServerFrame_Comms](r.rider.framesSoFar())); n != 2 {
			t.Errorf("told %d times in all", n)
		}
		if tr, _ := r.store.Trip(t.Context(), r.trip); tr.State != trips.Reserved {
			t.Errorf("silence made the trip %s", tr.State)
		}
	})
}

func TestAnEndedRideHasNoSilentDriver(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asProto)
	r.driver.mustDo(cancelFrame(r.trip))
	r.rider.awaitEvents(3)
	r.pass(10 * detector.CommsLostAfter)
	r.g.tickSessions()
	r.rider.awaitHandled()
	if n := len(bodiesOf[*wire.ServerFrame_Comms](r.rider.framesSoFar())); n != 0 {
		t.Error(fmt.Sprint("told ", n, " times"))
	}
}
