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
	c := newTown(t, nil)
	p := c.connect(trips.Driver("d"), asProto, nil)
	o := c.offer("o", "d", c.request("r"))

	// to connect again is not to leave
	next := c.connect(trips.Driver("d"), asProto, nil)
	p.closed()
	has[*wire.ServerFrame_Offer](next, 1)
	if len(c.inbox.OffersOf("d")) != 1 || len(c.vanished) != 0 {
		t.Errorf("held %v, vanished %v", c.inbox.OffersOf("d"), c.vanished)
	}
	next.cut()

	c.until("the offer is handed back", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.vanished) == 1 && c.vanished[0].ID == o.ID
	})

	if held := c.inbox.OffersOf("d"); len(held) != 0 {
		t.Errorf("held %v", held)
	}
	if d, _ := c.drivers.Get("d"); d.Connected {
		t.Errorf("the driver is %+v", d)
	}
	if err := c.g.Offer(o); !errors.Is(err, dispatch.ErrUnreachable) || len(c.inbox.OffersOf("d")) != 0 {
		t.Errorf("offered to nobody: %v, held %v", err, c.inbox.OffersOf("d"))
	}
}

// ready asks the API whether the node should get traffic.
func (c *town) ready() int {
	return ask(c.api.Public(), "/readyz").Code
}

// drain starts to drain with some time, and returns once new sockets are
// refused.
func (c *town) drain(within time.Duration) (done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		c.g.Drain(ctx)
	}()

	c.until("it drains", c.g.draining.Load)
	return done
}

func TestADrainSendsEveryoneAwayOnceTheirCommandsAreAnswered(t *testing.T) {
	c, store := gatedTown(t, nil)
	id := c.request("r")
	rider := c.connect(trips.Rider("r"), asJSONText, nil)
	driver := c.connect(trips.Driver("d"), asProto, nil)
	c.offer("o", "d", id)
	if got := c.ready(); got != http.StatusOK {
		t.Fatalf("ready: %d", got)
	}
	open := store.close()
	driver.command("accept", answerFrame("o", true))
	driver.command("arrive", stepFrame(id, wire.Step_ARRIVE))
	c.until("it commits", func() bool { return store.held() == 1 })
	driver.settled()
	done := c.drain(patience)
	if code := rider.closed(); code != wire.CloseGoingAway || !wire.ShouldReconnect(code) {
		t.Errorf("the rider was closed with %d", code)
	}
	if ready, socket := c.ready(), c.refusal(nil); ready != http.StatusServiceUnavailable ||
		socket != http.StatusServiceUnavailable {
		t.Errorf("while draining: ready %d, a new socket %d", ready, socket)
	}

	c.until("the driver's session retires", func() bool {
		s := c.g.sessions.OfUser(trips.Driver("d"), nil)[0]
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.commands.closed
	})

	// too late: it is for the next node
	driver.command("start", stepFrame(id, wire.Step_START))
	driver.settled()
	open()
	if code := driver.closed(); code != wire.CloseGoingAway {
		t.Errorf("the driver was closed with %d", code)
	}

	for command, n := range map[string]int{"accept": 1, "arrive": 1, "start": 0} {
		if got := acks(driver.sofar(), command); len(got) != n || n == 1 && got[0].Code != "" {
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
	c, store := gatedTown(t, nil)
	r, slow := slowRide(t, c)
	r.fill(slow)
	c.dial(asProto) // says no hello
	c.until("three sockets", func() bool { return c.g.open.Load() == 3 })
	open := store.close()
	defer open()

	r.driver.command("arrive", stepFrame(r.trip, wire.Step_ARRIVE))
	c.until("it commits", func() bool { return store.held() == 1 })
	<-c.drain(100 * time.Millisecond)
	if c.g.running != 0 || c.g.sessions.Len() != 0 || c.g.open.Load() != 0 {
		t.Errorf("left over: %d goroutines, %d sessions, %d sockets", c.g.running, c.g.sessions.Len(), c.g.open.Load())
	}
}

func TestWhoSaysHelloDuringADrainIsSentElsewhere(t *testing.T) {
	c := newTown(t, nil)
	p := c.knock(asProto, trips.Rider("r"))

	c.until("it is read", func() bool {
		c.g.life.Lock()
		defer c.g.life.Unlock()
		return c.g.running == 1
	})

	done := c.drain(patience)
	p.hello(nil)
	if code := p.closed(); code != wire.CloseGoingAway {
		t.Errorf("closed with %d", code)
	}

	<-done
}
