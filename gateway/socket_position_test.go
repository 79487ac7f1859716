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
	both(t, func(t *testing.T, riders, drivers string) {
		r := reserved(t, newTown(t, nil), riders, drivers)
		for range 9 {
			r.driver.drive()
		}
		r.rider.settled()
		if got := r.rider.positions(); len(got) != 2 || got[1].N != 2 || got[1].Overwritten != 0 {
			t.Fatalf("without an ack: %v", got)
		}
		r.rider.shown(99) // nobody has seen what was never sent
		r.rider.settled()
		if got := r.rider.positions(); len(got) != 2 {
			t.Fatalf("after a false ack: %v", got)
		}
		r.rider.shown(2)

		third := has[*wire.ServerFrame_Position](r.rider, 3)[2].Position
		if third.Seq != 10 || third.N != 3 || third.Overwritten != 7 || third.AtMs != wire.ToMillis(r.now()) || third.DriverId != "d" {
			t.Errorf("after the ack: %v", third)
		}

		r.until("all are booked", func() bool {
			return r.booked(classPosition, outcomeSent) == 3 && r.booked(classPosition, outcomeOverwritten) == 7
		})
	})
}

// Whatever a rider acks and when, positions only go forward, at most two are
// un-acked, and none is unaccounted for.
func TestPositionsGoForwardAndAddUp(t *testing.T) {
	r := reserved(t, newTown(t, nil), asProto, asJSONText)
	acked := uint32(0)
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 10).Draw(rt, "fixes") {
			r.driver.drive()
		}
		r.rider.settled()
		got := r.rider.positions()

		last := got[len(got)-1]
		if last.N-acked > ackWindow {
			rt.Fatalf("%d sent, %d acked", last.N, acked)
		}

		if rapid.Bool().Draw(rt, "ack") {
			acked = rapid.Uint32Range(acked, last.N).Draw(rt, "acked")
			r.rider.shown(acked)
			r.rider.settled()
		}
	})

	r.rider.shown(uint32(len(r.rider.positions())))
	r.rider.settled()
	got := r.rider.positions()
	for i, p := range got {
		if p.N != uint32(i+1) || (i > 0 && (p.AtMs <= got[i-1].AtMs || p.Overwritten < got[i-1].Overwritten)) {
			t.Fatalf("position %d is %v after %v", i+1, p, got[i-1])
		}
	}

	if last := got[len(got)-1]; int(last.N+last.Overwritten) != r.fixes("accepted") || last.Seq != r.driver.fixes {
		t.Errorf("%d sent and %d overwritten of %d; the last is %v", last.N, last.Overwritten, r.fixes("accepted"), last)
	}
}

func TestARefusedFixIsCountedAndShownToNobody(t *testing.T) {
	// JSON cannot even say NaN but as a word
	r := reserved(t, newTown(t, nil), asProto, asProto)
	r.rider.shown(1)
	here := func(change func(*wire.Fix)) *wire.ClientFrame {
		f := fixFrame(location.Point{Lng: market.Lng + 1e-4, Lat: market.Lat}, 50, r.now().Add(time.Second))
		change(f.GetFix())
		return f
	}

	for _, c := range []struct {
		result string
		fix    *wire.ClientFrame
	}{
		{"teleport", here(func(f *wire.Fix) { f.Point = translate.Point(airport) })},
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
		before := r.fixes(c.result)
		r.driver.send(c.fix)
		r.driver.settled()
		if r.fixes(c.result) != before+1 {
			t.Errorf("%v: %s was not counted", c.fix, c.result)
		}
	}

	r.rider.send(here(func(*wire.Fix) {})) // riders have no car
	r.rider.settled()
	if got := r.rider.positions(); len(got) != 1 || r.fixes("accepted") != 1 || r.fixes("malformed") != 4 {
		t.Errorf("the rider saw %v", got)
	}
	r.driver.drive() // and an honest one goes through
	has[*wire.ServerFrame_Position](r.rider, 2)
}

func TestACarIsShownToItsRiderAloneAndOnlyWhileTheyRide(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		c := newTown(t, nil)
		early, other := c.connect(trips.Rider("r"), drivers, nil), c.connect(trips.Rider("other"), riders, nil)
		r := reserved(t, c, riders, drivers)
		has[*wire.ServerFrame_Position](early, 1)

		for i := range 3 {
			r.driver.drive()
			for _, p := range []*phone{r.rider, early} {
				has[*wire.ServerFrame_Position](p, i+2)
				p.shown(uint32(i + 2))
			}
		}

		late := c.connect(trips.Rider("r"), riders, nil)
		has[*wire.ServerFrame_Position](late, 1)
		r.driver.does(stepFrame(r.trip, wire.Step_ARRIVE))
		r.driver.does(stepFrame(r.trip, wire.Step_START))
		r.driver.drive()
		r.driver.does(stepFrame(r.trip, wire.Step_COMPLETE))
		r.rider.events(5)
		r.rider.settled()
		seen := len(r.rider.positions())
		r.driver.drive()
		r.driver.drive()

		for _, p := range []*phone{r.rider, early, late, other} {
			p.shown(uint32(len(p.positions())))
			p.settled()

			for _, pos := range p.positions() {
				if pos.Seq > r.driver.fixes-2 {
					t.Errorf("%v saw the car after the ride: %v", p.who, pos)
				}
			}
		}

		for _, s := range r.g.sessions.All(nil) {
			// who looked up the watchers just before the end
			s.out.deliverPosition("d", location.Fix{Point: market, Seq: 99, At: r.now().Add(time.Second)}, r.now())
		}

		r.rider.settled()
		if n := len(r.rider.positions()); n != seen {
			t.Errorf("the rider saw %d positions after the ride", n-seen)
		}
		if n := len(other.positions()) + len(r.driver.positions()); n != 0 {
			t.Errorf("strangers saw %d positions", n)
		}
	})
}

// A rider whose car comes from another node sees the shared state's newest
// position.
func TestACarOfAnotherNodeIsShownWhenTheSharedStateMoves(t *testing.T) {
	c := newTown(t, nil)
	rider := c.connect(trips.Rider("r"), asProto, nil)
	id := c.request("r")
	c.step("far", id, trips.KindReserved)
	rider.events(2)

	for i := range 2 {
		c.pass(time.Second)
		c.drivers.Connect("far", "elsewhere")

		at := location.Point{Lng: market.Lng + float64(i)*1e-5, Lat: market.Lat}
		if why := c.drivers.Move("far", location.Fix{Point: at, Seq: uint32(i + 1), At: c.now()}); why != location.Accepted {
			t.Fatal(why)
		}

		c.g.Moved("far")
		c.g.Moved("far") // told twice, shown once
		if p := has[*wire.ServerFrame_Position](rider, i+1)[i].Position; p.Seq != uint32(i+1) {
			t.Errorf("saw %v", p)
		}
	}

	rider.settled()
	if n := len(rider.positions()); n != 2 {
		t.Errorf("saw %d positions", n)
	}
}

// One who resumes a ride of long ago is told how it went, and not where its
// driver is today.
func TestResumingAnOldRideShowsNobodysCar(t *testing.T) {
	c := newTown(t, nil)
	old := c.request("r")
	c.step("d", old, trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
	c.step("d", c.request("between"), trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
	driver := c.connect(trips.Driver("d"), asProto, nil)
	driver.does(available(true))

	now := c.request("next")
	c.step("d", now, trips.KindReserved)
	driver.drive()

	p := c.connect(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch, TripId: string(old), TripSeq: 1})
	if seqs := p.events(4); !sameUpTo(seqs, 2, 5) || !p.welcome().Recovered {
		t.Errorf("recovered=%v, events %v", p.welcome().Recovered, seqs)
	}

	driver.drive()
	p.settled()
	if got := p.positions(); len(got) != 0 {
		t.Errorf("saw %v", got)
	}
	if held := c.booked(classPosition, outcomeOverwritten); held != 0 {
		t.Errorf("%v positions were only just not sent", held)
	}
	if d, _ := c.drivers.Get("d"); d.Trip != now || d.Status != "reserved" {
		t.Errorf("the driver, on another ride by now, became %+v", d)
	}
}

func TestCommsLostIsToldOnceAndRestoredWithTheNextFix(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		r := reserved(t, newTown(t, nil), riders, drivers)
		r.g.tick()
		r.pass(detector.CommsLostAfter)
		r.g.tick()
		r.rider.settled()
		if n := len(frames[*wire.ServerFrame_Comms](r.rider.sofar())); n != 0 {
			t.Fatalf("told %d times too early", n)
		}

		for range 3 {
			r.pass(time.Second)
			r.g.tick()
		}

		lost := has[*wire.ServerFrame_Comms](r.rider, 1)[0].Comms
		if !lost.Lost || lost.DriverId != "d" || lost.TripId != string(r.trip) || lost.AgeS != 21 {
			t.Errorf("lost: %v", lost)
		}

		r.driver.drive()
		if back := has[*wire.ServerFrame_Comms](r.rider, 2)[1].Comms; back.Lost || back.DriverId != "d" {
			t.Errorf("restored: %v", back)
		}
		r.rider.settled()
		if n := len(frames[*wire.ServerFrame_Comms](r.rider.sofar())); n != 2 {
			t.Errorf("told %d times in all", n)
		}
		if tr, _ := r.store.Trip(t.Context(), r.trip); tr.State != trips.Reserved {
			t.Errorf("silence made the trip %s", tr.State)
		}
	})
}

func TestAnEndedRideHasNoSilentDriver(t *testing.T) {
	r := reserved(t, newTown(t, nil), asProto, asProto)
	r.driver.does(cancelFrame(r.trip))
	r.rider.events(3)
	r.pass(10 * detector.CommsLostAfter)
	r.g.tick()
	r.rider.settled()
	if n := len(frames[*wire.ServerFrame_Comms](r.rider.sofar())); n != 0 {
		t.Error(fmt.Sprint("told ", n, " times"))
	}
}
