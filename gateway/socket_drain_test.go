package gateway

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestADriverWhoLeavesHandsTheirOffersBack(t *testing.T) {
	c := newTestNode(t, nil)
	p := c.connectPhone(trips.Driver("d"), asProto, nil)
	o := c.sendOffer("o", "d", c.openTrip("r"))

	// To connect again is not to leave.
	next := c.connectPhone(trips.Driver("d"), asProto, nil)
	p.awaitClose()
	awaitBodies[*wire.ServerFrame_Offer](next, 1)
	if len(c.inbox.OffersOf("d")) != 1 || len(c.driversGone) != 0 {
		t.Errorf("held %v, vanished %v", c.inbox.OffersOf("d"), c.driversGone)
	}
	next.cutConnection()

	c.awaitCondition("the offer is handed back", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.driversGone) == 1 && c.driversGone[0].ID == o.ID
	})

	if held := c.inbox.OffersOf("d"); len(held) != 0 {
		t.Errorf("held %v", held)
	}
	if d, _ := c.drivers.Get("d"); d.Connected {
		t.Errorf("the driver is %+v", d)
	}
	if err := c.g.DeliverOffer(o); !errors.Is(err, dispatch.ErrUnreachable) || len(c.inbox.OffersOf("d")) != 0 {
		t.Errorf("offered to no phone: %v, held %v", err, c.inbox.OffersOf("d"))
	}
}

// readyStatus asks the API whether the node should get traffic.
func (c *testNode) readyStatus() int {
	return getPath(c.api.Public(), "/readyz").Code
}

// beginDrain starts to drain with some time, and returns once new sockets are
// refused.
func (c *testNode) beginDrain(within time.Duration) (done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		c.g.Drain(ctx)
	}()

	c.awaitCondition("it drains", c.g.draining.Load)
	return done
}

func TestADrainSendsEveryoneAwayOnceTheirCommandsAreAnswered(t *testing.T) {
	c, store := newGatedNode(t, nil)
	id := c.openTrip("r")
	rider := c.connectPhone(trips.Rider("r"), asJSONText, nil)
	driver := c.connectPhone(trips.Driver("d"), asProto, nil)
	driver.driveTo(market)
	c.sendOffer("o", "d", id)
	if got := c.readyStatus(); got != http.StatusOK {
		t.Fatalf("ready: %d", got)
	}
	open := store.shutGate()
	driver.sendCommand("accept", answerFrame("o", true))
	driver.sendCommand("arrive", stepFrame(id, wire.Step_ARRIVE))
	c.awaitCondition("it commits", func() bool { return store.countWaiting() == 1 })
	driver.awaitHandled()
	done := c.beginDrain(patience)
	if code := rider.awaitClose(); code != wire.CloseGoingAway || !wire.ShouldReconnect(code) {
		t.Errorf("the rider was closed with %d", code)
	}
	if ready, socket := c.readyStatus(), c.dialRefused(nil); ready != http.StatusServiceUnavailable ||
		socket != http.StatusServiceUnavailable {
		t.Errorf("while draining: ready %d, a new socket %d", ready, socket)
	}

	c.awaitCondition("the driver's session retires", func() bool {
		s := c.g.sessions.OfUser(trips.Driver("d"), nil)[0]
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.commands.closed
	})

	// Too late: it is for the next node.
	driver.sendCommand("start", stepFrame(id, wire.Step_START))
	driver.awaitHandled()
	open()
	if code := driver.awaitClose(); code != wire.CloseGoingAway {
		t.Errorf("the driver was closed with %d", code)
	}

	for command, n := range map[string]int{"accept": 1, "arrive": 1, "start": 0} {
		if got := acksOf(driver.framesSoFar(), command); len(got) != n || n == 1 && got[0].Code != "" {
			t.Errorf("%s was answered %v", command, got)
		}
	}

	<-done
	if c.g.running != 0 || c.g.sessions.Len() != 0 || c.g.open.Load() != 0 {
		t.Errorf("left over: %d goroutines, %d sessions, %d sockets", c.g.running, c.g.sessions.Len(), c.g.open.Load())
	}
	if tr, _ := c.store.Trip(t.Context(), id); tr.State != trips.Arrived {
		t.Errorf("the trip is %s", tr.State)
	}
}

func TestADrainThatRunsOutOfTimeCutsOffWhatIsLeft(t *testing.T) {
	c, store := newGatedNode(t, nil)
	r, slow := slowRide(t, c)
	r.driver.driveTo(market)
	r.fillSocket(slow)
	c.dialSocket(asProto) // says no hello
	c.awaitCondition("three sockets", func() bool { return c.g.open.Load() == 3 })
	open := store.shutGate()
	defer open()

	r.driver.sendCommand("arrive", stepFrame(r.trip, wire.Step_ARRIVE))
	c.awaitCondition("it commits", func() bool { return store.countWaiting() == 1 })
	<-c.beginDrain(100 * time.Millisecond)
	if c.g.running != 0 || c.g.sessions.Len() != 0 || c.g.open.Load() != 0 {
		t.Errorf("left over: %d goroutines, %d sessions, %d sockets", c.g.running, c.g.sessions.Len(), c.g.open.Load())
	}
}

func TestWhoSaysHelloDuringADrainIsSentElsewhere(t *testing.T) {
	c := newTestNode(t, nil)
	p := c.connectUnwelcomed(asProto, trips.Rider("r"))

	c.awaitCondition("it is read", func() bool {
		c.g.life.Lock()
		defer c.g.life.Unlock()
		return c.g.running == 1
	})

	done := c.beginDrain(patience)
	p.sendHello(nil)
	if code := p.awaitClose(); code != wire.CloseGoingAway {
		t.Errorf("closed with %d", code)
	}

	<-done
}
