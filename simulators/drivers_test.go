package simulators

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startDrivers runs drivers until stop is called, which returns RunDrivers'
// error.
func startDrivers(t *testing.T, n *fakeNode, cfg DriverConfig) (stop func() error) {
	cfg.Server, cfg.City, cfg.Count = n.URL, testCity(), max(1, cfg.Count)
	return startRun(t, func(ctx context.Context) error { return RunDrivers(ctx, cfg) })
}

// startRun calls run until stop is called or the test ends. stop returns run's
// error.
func startRun(t *testing.T, run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()

	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestADriverAcceptsAnOfferDrivesTheTripAndCompletesIt(t *testing.T) {
	for name, codec := range map[string]wire.Codec{"proto": wire.Proto, "json": wire.JSON} {
		t.Run(name, func(t *testing.T) {
			stats := NewStats()
			n := newFakeNode(t, driverScript(1500))
			stop := startDrivers(t, n, DriverConfig{Speed: 200, Rate: 50, Decline: -1, Codec: codec, Stats: stats})
			n.waitUntil("the trip completes", wantSteps(n, wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE))
			n.waitUntil("the driver hears of it", func() bool { return n.trip.State == client.StateCompleted })
			if err := stop(); err != nil {
				t.Fatal(err)
			}

			s := stats.Snapshot()
			if s.OffersSeen != 1 || s.OffersAccepted != 1 || s.Violations != 0 || s.FixesSent == 0 || s.DriversConnected != 0 {
				t.Fatalf("%+v", s)
			}

			checkDrivenFixes(t, n)
		})
	}
}

// checkDrivenFixes checks that a node accepts the fixes, and that the car
// passed pickup and dropoff.
func checkDrivenFixes(t *testing.T, n *fakeNode) {
	n.mu.Lock()
	defer n.mu.Unlock()

	judge := location.DefaultFixFilter().WithPace(200)
	var last location.Fix
	pickup, dropoff, longest := 1e9, 1e9, 0.0
	for i, f := range n.conns[0].fixes {
		fix := location.Fix{Point: pointOf(f.Point), Seq: f.Seq, At: wire.FromMillis(f.AtMs),
			Heading: f.Heading, Speed: f.Speed, Accuracy: f.Accuracy}
		if why := judge.Accept(last, i > 0, fix, fix.At); why != location.Accepted && why != location.TooFrequent {
			t.Fatalf("fix %d is %s after %s", i, why, fix.At.Sub(last.At))
		}
		if f.Seq != last.Seq+1 {
			t.Fatalf("fix %d follows fix %d", f.Seq, last.Seq)
		}
		if i > 0 {
			longest = max(longest, fix.At.Sub(last.At).Seconds())
		}

		last = fix
		pickup = min(pickup, location.MetresBetween(fix.Point, pointOf(n.trip.Pickup)))
		dropoff = min(dropoff, location.MetresBetween(fix.Point, pointOf(n.trip.Dropoff)))
	}

	// Metres driven at 20 m/s of the city in the longest gap between two fixes.
	unseen := max(0, longest-0.02) * 200 * 20
	if pickup > 60+unseen || dropoff > 100+unseen {
		t.Fatalf("the car came within %.0f m of the pickup and %.0f m of the dropoff; it was not seen for %.0f ms",
			pickup, dropoff, 1000*longest)
	}
}

func TestFixesThatTheNodeRefusesAreSeenInTheStatistics(t *testing.T) {
	stats := NewStats()
	script := driverScript(1500)
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		script(c, f)
		if f.GetFix().GetSeq() == 2 {
			c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_FixRefused{
				FixRefused: &wire.FixRefused{Reason: "too_fast", Count: 2, Message: "No car drives like that."}}})
		}
	})
	startDrivers(t, n, DriverConfig{Speed: 100, Rate: 50, Decline: 1, Stats: stats})

	n.waitUntil("they are counted", func() bool { return stats.Snapshot().FixesRefused == 2 })
	if s := stats.Snapshot(); s.Violations != 0 || !strings.Contains(s.Text(), "fixes refused 2") {
		t.Errorf("%d violations %q; %s", s.Violations, s.ViolationTexts, s.Text())
	}
}

func TestADriverWhoDeclinesEverythingGoesOnCruising(t *testing.T) {
	stats := NewStats()
	n := newFakeNode(t, driverScript(1500))
	stop := startDrivers(t, n, DriverConfig{Speed: 100, Rate: 50, Decline: 1, Stats: stats})

	var fixes int
	n.waitUntil("the driver declines", func() bool {
		fixes = n.fixCount()
		return len(n.commandIDs(func(f *wire.ClientFrame) bool { a := f.GetAnswerOffer(); return a != nil && !a.Accept })) == 1
	})
	n.waitUntil("the driver cruises on", func() bool { return n.fixCount() > fixes+20 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if s := stats.Snapshot(); s.OffersDeclined != 1 || s.OffersAccepted != 0 || len(n.requestedSteps()) != 0 {
		t.Fatalf("%+v, steps %v", s, n.requestedSteps())
	}
}

func TestADriverWhoseRiderCancelsCruisesAgain(t *testing.T) {
	script := driverScript(1500)
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		script(c, f)
		if f.GetAnswerOffer() != nil {
			c.moveTrip(client.StateCancelled, "rider_cancellation")
			c.sendOffer("offer-" + f.Id)
		}
	})

	stats := NewStats()
	startDrivers(t, n, DriverConfig{Speed: 100, Rate: 20, Decline: -1, Stats: stats})
	n.waitUntil("the driver answers the next offers", func() bool {
		return len(n.commandIDs(func(f *wire.ClientFrame) bool { return f.GetAnswerOffer() != nil })) >= 3
	})
	if len(n.requestedSteps()) != 0 {
		t.Fatal("the driver drove on with a cancelled trip")
	}
}

func TestARestartContinuesTheTripFromItsState(t *testing.T) {
	n := newFakeNode(t, driverScript(1500))
	stop := startDrivers(t, n, DriverConfig{Speed: 200, Rate: 50, Decline: -1})
	n.waitUntil("the driver arrives", wantSteps(n, wire.Step_ARRIVE))
	_ = stop()

	before := len(n.requestedSteps())
	startDrivers(t, n, DriverConfig{Speed: 200, Rate: 50, Decline: -1, Seed: 5})
	n.waitUntil("the next run completes the trip", func() bool { return n.trip.State == client.StateCompleted })
	n.mu.Lock()
	defer n.mu.Unlock()

	at := pointOf(n.conns[len(n.conns)-1].fixes[0].Point)
	if m := location.MetresBetween(at, pointOf(n.trip.Pickup)); before == 1 && m > 400 {
		t.Fatalf("the next run began %.0f m from the pickup where the car waited", m)
	}
}

func TestAFlakyDriverStillCompletesTheTrip(t *testing.T) {
	n := newFakeNode(t, driverScript(3000))
	cfg, err := DriverConfig{Server: n.URL, City: testCity(), Count: 1, Speed: 200, Rate: 20, Decline: -1}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}

	f := newFleet(cfg)
	f.network.makeFlaky(9, 300*time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.runDrivers(ctx) }()
	defer func() { cancel(); <-done }()

	n.waitUntil("the trip completes over several connections", func() bool {
		return n.trip != nil && n.trip.State == client.StateCompleted && len(n.conns) > 2
	})

	s := cfg.Stats.Snapshot()
	if s.Reconnects == 0 || s.Violations != 0 || s.OffersAccepted != 1 {
		t.Fatalf("%+v", s)
	}
}

// The node loses the connection on the first three commands, and keeps count.
func TestLossesAndRepeatsAreCountedAsTheNodeSawThem(t *testing.T) {
	cuts, read := 0, map[string]int{}
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		if h := f.GetHello(); h != nil {
			c.sendWelcome(&wire.Welcome{Recovered: h.Resume != nil})
			return
		}
		if f.GetSetAvailable() == nil {
			return
		}

		read[f.Id]++
		if read[f.Id] == 1 && cuts < 3 {
			cuts++
			c.ws.Close()
			return
		}
		if cuts < 3 {
			return // It is repeated on each connection.
		}
		c.sendAck(f, new(wire.Ack))
	})

	stats := NewStats()
	stop := startDrivers(t, n, DriverConfig{Rate: 20, Stats: stats})
	n.waitUntil("three connections are lost and the fourth works", func() bool {
		return len(n.conns) == 4 && len(n.conns[3].fixes) > 0 && len(read) == 4
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	s, repeated := stats.Snapshot(), int64(0)
	for _, times := range read {
		repeated += int64(times - 1)
	}
	if s.ConnectionsLost != 3 || s.Resumed != 3 || repeated == 0 || s.CommandsRepeated != repeated {
		t.Errorf("the node cut 3 connections and read %v; counted were %d lost, %d resumed, %d repeated", read, s.ConnectionsLost, s.Resumed, s.CommandsRepeated)
	}
}

func TestADriverSleepsBetweenThingsToDo(t *testing.T) {
	f := newFleet(DriverConfig{City: testCity(), Speed: 1, Stats: NewStats()})
	d := f.newDriver("d")

	// The phone never connects.
	d.phone = &phone{network: f.network, id: "d", session: f.network.client.NewSession(client.SessionConfig{})}
	at := wirePoint(testCity().RandomPoint(newRandomStream(1, "d", "dropoff")))
	now := time.Now()
	for version, state := range []string{client.StateReserved, client.StateArrived, client.StateOnTrip, client.StateCompleted} {
		d.applyTrip(&wire.Trip{Id: "t", DriverId: "d", Version: uint32(version + 1), State: state, Pickup: at, Dropoff: at}, now)
		for range 3 {
			next, _ := d.doDueActions(t.Context(), now)
			if !next.IsZero() && !next.After(now) {
				t.Fatalf("%s: wants to act again at once", state)
			}
			now = now.Add(time.Hour)
		}
	}
}

func TestARefusedStepMakesTheDriverAskHowThingsStand(t *testing.T) {
	script := driverScript(1500)
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		if f.GetMoveTrip() != nil { // The trip ended and its event is lost.
			c.node.trip.State = client.StateCancelled
			c.sendAck(f, &wire.Ack{Code: string(wire.CodeIllegalMove)})
			return
		}
		script(c, f)
	})

	stats := NewStats()
	startDrivers(t, n, DriverConfig{Speed: 200, Rate: 20, Decline: -1, Stats: stats})
	n.waitUntil("the driver connects anew and is available", func() bool {
		return len(n.conns) == 2 && len(n.commandIDs(func(f *wire.ClientFrame) bool { return f.GetSetAvailable() != nil })) == 2
	})
	if s := stats.Snapshot(); s.Refused != 1 || len(n.requestedSteps()) != 1 {
		t.Fatalf("%+v, steps %v", s, n.requestedSteps())
	}
}

func TestADriverWhoWasReplacedStaysAway(t *testing.T) {
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		switch {
		case f.GetHello() != nil:
			c.sendWelcome(&wire.Welcome{})
		case f.GetSetAvailable() != nil:
			c.closeWith(wire.CloseReplaced)
		}
	})

	err := RunDrivers(context.Background(), DriverConfig{Server: n.URL, City: testCity(), Count: 1})
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil || !strings.Contains(err.Error(), "4409") || len(n.conns) != 1 {
		t.Fatalf("%v after %d connections", err, len(n.conns))
	}
}

func TestANodeThatGivesNoTokensIsAClearError(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()

	err := RunDrivers(context.Background(), DriverConfig{Server: srv.URL, City: testCity(), Count: 3})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "--dev-tokens") {
		t.Fatal(err)
	}

	err = RunRiders(context.Background(), RiderConfig{Server: srv.URL, City: testCity(), Count: 3})
	if !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
}

func TestFiveHundredPhonesStartAndStopWithoutATrace(t *testing.T) {
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		if f.GetHello() != nil {
			c.sendWelcome(&wire.Welcome{})
		}
	})

	stats := NewStats()
	stop := startDrivers(t, n, DriverConfig{Count: 500, Rate: 2, Stats: stats})
	n.waitUntil("all are connected", func() bool { return stats.Snapshot().DriversConnected == 500 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if s := stats.Snapshot(); s.DriversConnected != 0 || s.Reconnects != 0 {
		t.Fatalf("%+v", s)
	}
	// TestMain finds leaked goroutines.
}
