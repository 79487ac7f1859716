package simulators

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

func eventStep(seq uint32) func(*protocolChecker) {
	return func(w *protocolChecker) { w.checkEvent(&wire.TripEvent{TripId: "t", Seq: seq}) }
}

func chatStep(seq uint32, from string) func(*protocolChecker) {
	return func(w *protocolChecker) { w.checkChat(&wire.ChatMessage{TripId: "t", Seq: seq, From: from}, 0) }
}

func positionStep(n uint32, at float64) func(*protocolChecker) {
	return func(w *protocolChecker) { w.checkPosition(&wire.Position{N: n, DriverId: "d", AtMs: at}) }
}

func readStep(version uint32) func(*protocolChecker) {
	return func(w *protocolChecker) { w.noteTripRead(&wire.Trip{Id: "t", Version: version}) }
}

func ownChatStep(seq uint32) func(*protocolChecker) {
	return func(w *protocolChecker) { w.noteOwnChat("t", seq) }
}

func welcomeStep(recovered bool, version, chatSeq uint32) func(*protocolChecker) {
	return func(w *protocolChecker) {
		trip := &wire.Trip{Id: "t", Version: version}
		w.checkWelcome(&wire.Welcome{Epoch: "e", Recovered: recovered, ChatSeq: chatSeq, Trip: trip})
	}
}

type story []func(*protocolChecker)

func TestTheCheckerReportsWhatTheNodeShouldNotHaveSent(t *testing.T) {
	for name, c := range map[string]struct {
		story story
		fault string // part of the violation; empty for none
	}{
		"events in order":           {story{eventStep(1), eventStep(2), eventStep(3)}, ""},
		"the first sight is late":   {story{eventStep(3), eventStep(4)}, ""},
		"an event twice":            {story{eventStep(1), eventStep(2), eventStep(2)}, "event 2 came after event 2"},
		"a step back":               {story{eventStep(3), eventStep(2)}, "event 2 came after event 3"},
		"a gap":                     {story{eventStep(1), eventStep(3)}, "event 3 follows event 1"},
		"a gap that an ack filled":  {story{eventStep(1), readStep(2), eventStep(3)}, ""},
		"an ack before its event":   {story{readStep(1), eventStep(1), readStep(2), eventStep(2)}, ""},
		"a gap after an ack":        {story{readStep(1), eventStep(3)}, "event 3 follows event 0"},
		"re-read on reconnect":      {story{eventStep(1), welcomeStep(false, 4, 0), eventStep(5)}, ""},
		"made up for on reconnect":  {story{eventStep(1), welcomeStep(true, 3, 0), eventStep(2), eventStep(3)}, ""},
		"told again after re-read":  {story{eventStep(1), welcomeStep(false, 3, 0), eventStep(3)}, "event 3 came after event 3"},
		"the trip went back":        {story{eventStep(3), welcomeStep(false, 2, 0)}, "stands at 2 after event 3"},
		"chat in order":             {story{chatStep(1, "driver"), chatStep(2, "driver")}, ""},
		"chat with our own echoed":  {story{ownChatStep(1), chatStep(1, "rider"), chatStep(2, "driver")}, ""},
		"echoed before the ack":     {story{chatStep(1, "rider"), ownChatStep(1), chatStep(2, "driver")}, ""},
		"chat without an echo":      {story{ownChatStep(1), chatStep(2, "driver"), ownChatStep(3), ownChatStep(4), chatStep(5, "driver")}, ""},
		"a chat message twice":      {story{chatStep(1, "driver"), chatStep(1, "driver")}, "message 1 came after message 1"},
		"a chat gap":                {story{chatStep(1, "driver"), chatStep(3, "driver")}, "message 3 follows message 1"},
		"chat known on reconnect":   {story{welcomeStep(false, 2, 5), chatStep(6, "driver")}, ""},
		"positions within credit":   {story{positionStep(1, 1), positionStep(2, 2), positionStep(3, 3), positionStep(4, 4)}, ""},
		"a position beyond credit":  {story{positionStep(1, 1), positionStep(4, 2)}, "position 4 came after 1 with 0 acked"},
		"a position number twice":   {story{positionStep(1, 1), positionStep(1, 2)}, "position 1 came after 1"},
		"a car that goes back":      {story{positionStep(1, 9), positionStep(2, 8)}, "went back by 1.0 ms"},
		"a new connection counts":   {story{positionStep(1, 1), positionStep(2, 2), welcomeStep(true, 1, 0), positionStep(1, 2)}, ""},
		"back over a reconnect too": {story{positionStep(1, 5), welcomeStep(true, 1, 0), positionStep(1, 4)}, "went back by 1.0 ms"},
	} {
		t.Run(name, func(t *testing.T) {
			stats := NewStats()
			w := newProtocolChecker(stats, client.RoleRider, "r")
			for _, step := range c.story {
				step(w)
			}
			s := stats.Snapshot()
			if (c.fault == "") != (s.Violations == 0) || !strings.Contains(strings.Join(s.ViolationTexts, "\n"), c.fault) {
				t.Fatalf("%d violations %q, want %q", s.Violations, s.ViolationTexts, c.fault)
			}
		})
	}
}

func TestARefusedFixIsTheDriversAndHasAReason(t *testing.T) {
	for _, c := range []struct {
		role   string
		frame  *wire.FixRefused
		faults int64
	}{
		{client.RoleDriver, &wire.FixRefused{Reason: "too_fast", Count: 3, Message: "No car drives like that."}, 0},
		{client.RoleRider, &wire.FixRefused{Reason: "forbidden", Count: 1, Message: "Only drivers send fixes."}, 1},
		{client.RoleDriver, &wire.FixRefused{Reason: "too_fast", Message: "No car drives like that."}, 1},
		{client.RoleDriver, &wire.FixRefused{Count: 1, Message: "No car drives like that."}, 1},
		{client.RoleDriver, &wire.FixRefused{Reason: "too_fast", Count: 1}, 1},
	} {
		stats := NewStats()
		newProtocolChecker(stats, c.role, "x").checkFixRefused(c.frame)
		if n := stats.Snapshot().Violations; n != c.faults {
			t.Errorf("%v to a %s: %d violations", c.frame, c.role, n)
		}
	}
}

func TestAMessageUnderWayExcusesAHole(t *testing.T) {
	stats := NewStats()
	w := newProtocolChecker(stats, client.RoleRider, "r")
	if !w.checkChat(&wire.ChatMessage{TripId: "t", Seq: 2, From: "driver"}, 1) || stats.Snapshot().Violations != 0 {
		t.Fatal("message 1 may be ours, its ack is under way")
	}
	if w.noteOwnChat("t", 1); w.trackFor("t").knownChat != 2 {
		t.Fatalf("known up to %d", w.trackFor("t").knownChat)
	}
}

func TestOldTripsAreForgotten(t *testing.T) {
	w := newProtocolChecker(NewStats(), client.RoleRider, "r")
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		w.checkEvent(&wire.TripEvent{TripId: id, Seq: 1})
	}
	if len(w.tracks) != maxTrackedTrips || w.tracks[maxTrackedTrips-1].trip != "f" {
		t.Fatalf("%d trips, the last %v", len(w.tracks), w.tracks[maxTrackedTrips-1])
	}
}

func TestAWayIsDrivenAtTheSpeedOfItsRoads(t *testing.T) {
	p := func(m float64) location.Point { return location.Point{Lng: 3.4, Lat: 6.4 + m/metresPerDeg} }
	w := driveAlong(routing.Route{Path: []location.Point{p(0), p(100), p(300)}, Speeds: []float64{10, 20}})
	for _, c := range []struct{ seconds, metres, speed, left float64 }{
		{5, 50, 10, 15}, {5, 100, 20, 10}, {5, 200, 20, 5}, {9, 300, 0, 0},
	} {
		at, heading, speed := w.driveFor(c.seconds)
		m := location.MetresBetween(p(0), at)
		if math.Abs(m-c.metres) > 0.1 || speed != c.speed || math.Abs(w.leftSeconds-c.left) > 0.01 || heading > 0.1 {
			t.Fatalf("%.1f m at %g m/s heading %g with %.2f s left, want %+v", m, speed, heading, w.leftSeconds, c)
		}
	}

	if !w.isOver() {
		t.Fatal("not there")
	}

	none := driveAlong(routing.Route{Path: []location.Point{p(0), p(0)}, Speeds: []float64{10}})
	if none.driveFor(0); !none.isOver() {
		t.Fatal("a way to where one is does not end")
	}
}

func TestPositionsDriftByMetresAndSlowly(t *testing.T) {
	var d drift
	rng := newRandomStream(1, "d", "noise")

	p := location.Point{Lng: 3.4, Lat: 6.45}
	last, far, step := p, 0.0, 0.0
	for range 2000 {
		q := d.applyTo(p, rng)
		far, step = max(far, location.MetresBetween(p, q)), max(step, location.MetresBetween(last, q))
		last = q
	}

	if far < 3 || far > 25 || step > far {
		t.Fatalf("up to %.1f m off, %.1f m a fix", far, step)
	}
}

func TestLatencyIsCountedAsAWholeAndForTheLastSeconds(t *testing.T) {
	var l latencies
	l.initHistograms()
	now := time.Unix(1000, 0)
	for i := range 1000 {
		l.recordLatency(i, now, float64(i))
	}
	for i := range 10 {
		l.recordLatency(i, now.Add(20*time.Second), 5)
	}
	l.recordLatency(0, now.Add(20*time.Second), -3) // clocks that disagree

	all, half, recent := l.readQuantiles(now.Add(22 * time.Second))
	near := func(got, want, off float64) bool { return math.Abs(got-want) <= off }
	if all.Count != 1011 || !near(all.P50, 495, 10) || !near(all.P99, 990, 10) || !near(all.Max, 999, 2) ||
		!near(half, 5, 0.1) || !near(recent, 5, 0.1) {
		t.Fatalf("%+v, recent %.2f and %.2f", all, half, recent)
	}
	if _, half, recent := l.readQuantiles(now.Add(time.Minute)); half != 0 || recent != 0 {
		t.Fatalf("a minute later still %.2f", recent)
	}
}

func TestACarMayStandWhereItWasOnlyAtAnotherNode(t *testing.T) {
	for elsewhere, want := range map[bool]int64{true: 0, false: 1} {
		stats := NewStats()
		w := newProtocolChecker(stats, client.RoleRider, "r")
		w.checkPosition(&wire.Position{N: 1, DriverId: "d", AtMs: 2000})
		w.checkWelcome(&wire.Welcome{Epoch: "e"})
		if elsewhere {
			w.forgetLastPosition()
		}
		w.checkPosition(&wire.Position{N: 1, DriverId: "d", AtMs: 1000})
		w.checkPosition(&wire.Position{N: 2, DriverId: "d", AtMs: 1500})
		if got := stats.Snapshot().Violations; got != want {
			t.Errorf("elsewhere %v: %d violations instead of %d", elsewhere, got, want)
		}
	}
}
