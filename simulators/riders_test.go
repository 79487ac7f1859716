package simulators

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// startRiders runs riders until stop is called, which returns RunRiders' error.
func startRiders(t *testing.T, n *fakeNode, cfg RiderConfig) (stop func() error) {
	cfg.Server, cfg.City, cfg.Count = n.URL, testCity(), max(1, cfg.Count)
	return startRun(t, func(ctx context.Context) error { return RunRiders(ctx, cfg) })
}

// riderScript plays a node towards riders: it opens and cancels trips, and
// sends the active one in the welcome.
func riderScript(also func(c *fakeConn, f *wire.ClientFrame)) func(c *fakeConn, f *wire.ClientFrame) {
	return func(c *fakeConn, f *wire.ClientFrame) {
		n := c.node
		switch b := f.Body.(type) {
		case *wire.ClientFrame_Hello:
			w := &wire.Welcome{Role: client.RoleRider, Recovered: b.Hello.Resume != nil}
			if n.trip != nil && client.IsActive(n.trip.State) && !w.Recovered {
				w.Trip = cloneTrip(n.trip)
			}
			c.sendWelcome(w)
		case *wire.ClientFrame_RequestTrip:
			if n.trip == nil || !client.IsActive(n.trip.State) {
				n.trip = &wire.Trip{Id: "trip-" + f.Id, RiderId: c.user,
					Pickup: b.RequestTrip.Pickup, Dropoff: b.RequestTrip.Dropoff}
				c.moveTrip(client.StateRequested, "requested")
			}

			c.sendTripAck(f, "")
		case *wire.ClientFrame_CancelTrip:
			c.moveTrip(client.StateCancelled, "rider_cancellation")
			c.sendTripAck(f, "")
		}

		if also != nil {
			also(c, f)
		}
	}
}

func receiptFrame(trip string) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Receipt{Receipt: &wire.Receipt{TripId: trip, Reference: "r-" + trip}}}
}

func isRequest(f *wire.ClientFrame) bool { return f.GetRequestTrip() != nil }
func isCancel(f *wire.ClientFrame) bool  { return f.GetCancelTrip() != nil }

func TestARiderLosesPatienceAndCancelsTheAckedTrip(t *testing.T) {
	n := newFakeNode(t, riderScript(nil))
	stats := NewStats()
	stop := startRiders(t, n, RiderConfig{PerMinute: 60, Speed: 300, Stats: stats})
	n.waitUntil("two riders lose patience", func() bool { return stats.Snapshot().TripsCancelled >= 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	n.mu.Lock()
	defer n.mu.Unlock()

	var opened string
	for _, f := range n.received {
		switch {
		case isRequest(f):
			opened = "trip-" + f.Id
			from, to := pointOf(f.GetRequestTrip().Pickup), pointOf(f.GetRequestTrip().Dropoff)
			if m := location.MetresBetween(from, to); !testCity().Contains(from) || !testCity().Contains(to) || m < minRideMetres || m > maxRideMetres {
				t.Fatalf("a ride of %.0f m from %v to %v", m, from, to)
			}
		case isCancel(f):
			if f.GetCancelTrip().TripId != opened || f.GetCancelTrip().Reason == "" {
				t.Fatalf("cancelled %q, opened %q", f.GetCancelTrip().TripId, opened)
			}
		}
	}

	if s := stats.Snapshot(); s.Violations != 0 || s.TripsReserved != 0 || s.RidersConnected != 0 || s.TripsRequested < 2 {
		t.Fatalf("%+v", s)
	}
}

// wholeRideScript is riderScript with a driver who comes at once, shows ten
// positions and ends the ride with a receipt.
func wholeRideScript(n *fakeNode) func(c *fakeConn, f *wire.ClientFrame) {
	return riderScript(func(c *fakeConn, f *wire.ClientFrame) {
		switch b := f.Body.(type) {
		case *wire.ClientFrame_RequestTrip:
			n.trip.DriverId = "d"
			c.moveTrip(client.StateReserved, "reserved")
			c.moveTrip(client.StateArrived, "arrived")
			c.moveTrip(client.StateOnTrip, "on_trip")
			c.sendChat(1, client.RoleDriver, "Hello")
			c.sendPosition("d", time.Now())
			c.sendPosition("d", time.Now())
		case *wire.ClientFrame_PositionAck:
			if b.PositionAck.N < 10 {
				c.sendPosition("d", time.Now())
				c.sendPosition("d", time.Now())
				return
			}
			c.moveTrip(client.StateCompleted, "completed")
			c.sendFrame(receiptFrame(n.trip.Id))
		}
	})
}

func TestARiderRidesAcksPositionsAndTakesTheReceipt(t *testing.T) {
	n := newFakeNode(t, func(*fakeConn, *wire.ClientFrame) {})
	n.script = wholeRideScript(n)
	stats := NewStats()
	startRiders(t, n, RiderConfig{PerMinute: 1, Speed: 60, Stats: stats})

	var s Snapshot
	n.waitUntil("a ride is paid and the rider hangs up", func() bool {
		s = stats.Snapshot()
		return s.Receipts > 0 && s.Receipts == s.TripsRequested && s.RidersConnected == 0
	})
	if s.TripsRequested != s.TripsCompleted || s.TripsReserved != s.TripsCompleted || s.Violations != 0 ||
		s.ChatDelivered != s.TripsCompleted || s.PickupWait.Count != s.TripsCompleted {
		t.Fatalf("%+v", s)
	}
	if s.Latency.Count != 9*s.TripsCompleted || s.Latency.Max > 60_000 {
		// The first position is no update.
		t.Fatalf("latency %+v", s.Latency)
	}
}

func TestARestartLooksForTripsAndFollowsThem(t *testing.T) {
	n := newFakeNode(t, riderScript(func(c *fakeConn, f *wire.ClientFrame) {
		if f.GetHello() != nil {
			c.moveTrip(client.StateCompleted, "completed")
			c.sendFrame(receiptFrame("old"))
		}
	}))

	n.trip = &wire.Trip{Id: "old", State: client.StateOnTrip, Version: 4, ReservedMs: 1, ArrivedMs: 2}
	stats := NewStats()
	startRiders(t, n, RiderConfig{PerMinute: 1e-6, Stats: stats})
	n.waitUntil("the old trip ends", func() bool { return stats.Snapshot().Receipts == 1 })

	s := stats.Snapshot()
	if s.TripsContinued != 1 || s.TripsCompleted != 1 || s.TripsRequested+s.TripsReserved+s.Violations != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestALostConnectionResumesAndSendsTheUnackedCommandAgain(t *testing.T) {
	script := riderScript(nil)
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		if isRequest(f) && c.node.trip == nil {
			// The trip is opened, its ack and event are lost.
			c.node.trip = &wire.Trip{Id: "trip", State: client.StateRequested, Version: 1}
			c.ws.Close()
			return
		}

		script(c, f)
	})

	stats := NewStats()
	startRiders(t, n, RiderConfig{PerMinute: 60, Speed: 60, Stats: stats})
	n.waitUntil("the request is sent again", func() bool { return len(n.commandIDs(isRequest)) == 2 })
	n.waitUntil("and acked", func() bool { return stats.Snapshot().TripsRequested == 1 })
	n.mu.Lock()
	defer n.mu.Unlock()

	ids := n.commandIDs(isRequest)
	resume := n.conns[len(n.conns)-1].hello.Resume
	if ids[0] != ids[1] || resume == nil || resume.Epoch != "e" || resume.TripSeq > 1 {
		t.Fatalf("ids %v, resume %v", ids, resume)
	}
	if s := stats.Snapshot(); s.Reconnects != 1 || s.Resumed != 1 || s.Violations != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestAFlakyPhoneComesBackFromWhereItStopped(t *testing.T) {
	n := newFakeNode(t, riderScript(func(c *fakeConn, f *wire.ClientFrame) {
		if f.GetRequestTrip() != nil {
			c.node.trip.DriverId = "d"
			c.moveTrip(client.StateReserved, "reserved")
			c.sendChat(1, client.RoleDriver, "On my way")
		}
	}))

	stats := NewStats()
	net := newNetwork(n.URL, nil, stats, nil)
	defer net.close()

	net.makeFlaky(1, time.Hour)
	p := net.startPhone(t.Context(), client.RoleRider, "rider", 0)
	defer p.stop()

	if p.nextDropAt(time.Now()).IsZero() {
		t.Fatal("a flaky phone never drops")
	}
	awaitFrame(t, p, func(f *wire.ServerFrame) bool { return f.GetWelcome() != nil })
	p.sendCommand(client.NewFrame(&wire.RequestTrip{}))
	awaitFrame(t, p, func(f *wire.ServerFrame) bool { return f.GetChat() != nil })
	p.dropConnection()
	awaitFrame(t, p, func(f *wire.ServerFrame) bool { return f.GetWelcome() != nil })
	n.mu.Lock()
	defer n.mu.Unlock()

	r := n.conns[1].hello.Resume
	if r == nil || r.TripId != n.trip.Id || r.TripSeq != 2 || r.ChatSeq != 1 {
		t.Fatalf("resume %v", r)
	}
}

func TestAPhoneThatLosesItsNodeGoesOnAtTheNextOne(t *testing.T) {
	first, second := newFakeNode(t, riderScript(nil)), newFakeNode(t, riderScript(nil))
	net := newNetwork(first.URL+","+second.URL+"/", nil, NewStats(), nil)
	defer net.close()

	p := net.startPhone(t.Context(), client.RoleRider, "rider", 0)
	defer p.stop()

	for range 2 {
		awaitFrame(t, p, func(f *wire.ServerFrame) bool { return f.GetWelcome() != nil })
		p.dropConnection()
	}
	awaitFrame(t, p, func(f *wire.ServerFrame) bool { return f.GetWelcome() != nil })

	for n, want := range map[*fakeNode]int{first: 2, second: 1} {
		n.mu.Lock()
		if len(n.conns) != want {
			t.Errorf("%d connections instead of %d", len(n.conns), want)
		}
		n.mu.Unlock()
	}
}

// A seed always deals the phones alike, so that a run can be repeated.
func TestSpreadPhonesBeginAtAllNodesAndOthersAtTheFirst(t *testing.T) {
	net := newNetwork("http://a,http://b,http://c", nil, NewStats(), nil)
	defer net.close()

	count := func() (phones [3]int) {
		for i := range 300 {
			phones[net.firstServer(driverID("driver", i))]++
		}
		return phones
	}
	if got := count(); got != [3]int{300, 0, 0} {
		t.Errorf("without spreading: %v", got)
	}
	net.spreadPhones(1)
	got := count()
	for _, n := range got {
		if n < 70 || n > 130 {
			t.Errorf("spread over three nodes: %v", got)
		}
	}
	if again := count(); again != got {
		t.Errorf("the same seed gave %v and %v", got, again)
	}
}

func awaitFrame(t *testing.T, p *phone, wanted func(*wire.ServerFrame) bool) {
	t.Helper()

	for {
		select {
		case f := <-p.frames:
			if wanted(f) {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the frame never came")
		}
	}
}

func TestACommandThatMayBeTriedAgainKeepsItsID(t *testing.T) {
	refusals := 0
	n := newFakeNode(t, riderScript(nil))
	script := n.script
	n.script = func(c *fakeConn, f *wire.ClientFrame) {
		if isRequest(f) && refusals == 0 {
			refusals++
			c.sendTripAck(f, wire.CodeUnavailable)
			return
		}
		script(c, f)
	}

	stats := NewStats()
	startRiders(t, n, RiderConfig{PerMinute: 60, Speed: 60, Stats: stats})
	n.waitUntil("the trip is open", func() bool { return stats.Snapshot().TripsRequested == 1 })
	n.mu.Lock()
	defer n.mu.Unlock()
	if ids := n.commandIDs(isRequest); len(ids) < 2 || ids[0] != ids[1] {
		t.Fatalf("ids %v", ids)
	}
}

func TestOneSeedGivesTheSameArrivals(t *testing.T) {
	c := population{RiderConfig: RiderConfig{City: testCity()}, hotspots: testCity().Hotspots(), router: routing.NewRouter(testCity())}
	for _, s := range c.hotspots {
		c.totalWeight += s.Weight
	}
	draw := func(seed uint64) (all []tripDemand) {
		rng := newRandomStream(seed, "rider", "arrivals")
		for range 50 {
			all = append(all, c.drawDemand(rng))
		}
		return all
	}

	if !slices.Equal(draw(3), draw(3)) || slices.Equal(draw(3), draw(4)) {
		t.Fatal("the seed does not decide the arrivals")
	}

	near := 0
	for _, w := range draw(3) {
		for _, s := range c.hotspots {
			if location.MetresBetween(w.from, s.Point) < 1500 {
				near++
				break
			}
		}
	}

	if near < 25 {
		t.Fatalf("%d of 50 rides begin near a hot spot", near)
	}
}
