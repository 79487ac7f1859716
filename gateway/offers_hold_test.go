package gateway

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// startForeignOffers is a node with a free driver d, and a function that delivers
// an offer of another node.
func startForeignOffers(t *testing.T) (c *testNode, driver *phone, deliver func(id, node string, epoch uint64, trip trips.TripID) error) {
	c = newTestNode(t, nil)
	driver = c.connectPhone(trips.Driver("d"), asProto, nil)
	driver.mustDo(availableFrame(true))
	deliver = func(id, node string, epoch uint64, trip trips.TripID) error {
		open, err := c.store.Trip(t.Context(), trip)
		if err != nil {
			t.Fatal(err)
		}
		return c.g.DeliverOffer(dispatch.Offer{ID: id, Trip: open, Driver: "d", Node: node, Epoch: epoch, ExpiresAt: c.now().Add(time.Hour)})
	}
	return c, driver, deliver
}

// wantHold fails unless the driver is held by an offer, or by none.
func (c *testNode) wantHold(offer string) {
	c.t.Helper()
	if d, _ := c.drivers.Get("d"); d.Hold != offer {
		c.t.Fatalf("the driver is held by %q, want %q", d.Hold, offer)
	}
}

func TestOfTwoNodesThatWantADriverTheFirstGetsTheDriver(t *testing.T) {
	c, driver, deliver := startForeignOffers(t)
	one, two := c.openTrip("r1"), c.openTrip("r2")
	if err := deliver("o1", "n1", 1, one); err != nil {
		t.Fatal(err)
	}
	if err := deliver("o2", "n2", 1, two); !errors.Is(err, dispatch.ErrBusy) {
		t.Fatalf("the second is told %v", err)
	}
	c.wantHold("o1")

	driver.mustDo(answerFrame("o1", false))
	c.wantHold("")
	if err := deliver("o3", "n2", 1, two); err != nil {
		t.Fatal(err)
	}
	c.g.WithdrawOffer(dispatch.Offer{ID: "o3", Driver: "d", Node: "n2"}, dispatch.GoneExpired)
	c.wantHold("")

	if err := deliver("o4", "n2", 1, two); err != nil {
		t.Fatal(err)
	}
	driver.mustDo(answerFrame("o4", true))
	c.wantHold("")
	if d, _ := c.drivers.Get("d"); d.Trip != two {
		t.Fatalf("after the acceptance: %+v", d)
	}
	if err := deliver("o5", "n1", 1, one); !errors.Is(err, dispatch.ErrBusy) {
		t.Fatalf("an offer to a driver on a trip: %v", err)
	}
	if err := c.drivers.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

func TestAHoldEndsWithTheDriversLastSession(t *testing.T) {
	c, driver, deliver := startForeignOffers(t)
	if err := deliver("o1", "n1", 1, c.openTrip("r1")); err != nil {
		t.Fatal(err)
	}
	driver.cutConnection()
	c.awaitCondition("the hold ended", func() bool { d, _ := c.drivers.Get("d"); return d.Hold == "" && !d.Connected })
}

func TestAHoldEndsWhenTheDispatchersNodeHasDied(t *testing.T) {
	c, driver, deliver := startForeignOffers(t)
	trip := c.openTrip("r1")
	if err := deliver("o1", "n1", 1, trip); err != nil {
		t.Fatal(err)
	}
	c.g.ReleaseHoldsOf("n2")
	c.wantHold("o1")
	c.g.ReleaseHoldsOf("n1")
	c.wantHold("")

	// The dispatcher that follows asks the same driver.
	if err := deliver("o2", "n2", 2, trip); err != nil {
		t.Fatal(err)
	}
	c.wantHold("o2")
	driver.mustDo(answerFrame("o2", true))
}

// TestANewerDispatchersOfferReplacesTheHold has a node that lost a region go on
// for a moment.
func TestANewerDispatchersOfferReplacesTheHold(t *testing.T) {
	c, _, deliver := startForeignOffers(t)
	trip := c.openTrip("r1")
	if err := deliver("o1", "n1", 1, trip); err != nil {
		t.Fatal(err)
	}
	if err := deliver("o2", "n2", 2, trip); err != nil {
		t.Fatal(err)
	}
	c.wantHold("o2")
	if err := deliver("o3", "n1", 1, trip); err != nil {
		t.Fatal(err)
	}
	c.wantHold("o2")
}

// TestAHoldExpires has a dispatcher whose withdrawal is lost.
func TestAHoldExpires(t *testing.T) {
	c, _, _ := startForeignOffers(t)
	open, err := c.store.Trip(t.Context(), c.openTrip("r1"))
	if err != nil {
		t.Fatal(err)
	}
	o := dispatch.Offer{ID: "o1", Trip: open, Driver: "d", Node: "n1", ExpiresAt: c.now().Add(50 * time.Millisecond)}
	if err := c.g.DeliverOffer(o); err != nil {
		t.Fatal(err)
	}
	c.awaitCondition("the hold ended", func() bool { d, _ := c.drivers.Get("d"); return d.Hold == "" })
}

func TestADriversWatchersAreToldWhenTheFirstComesAndTheLastGoes(t *testing.T) {
	var c *testNode
	changes := make(chan bool, 100)
	c = newTestNode(t, func(cfg *Config) {
		cfg.OnWatchChanged = func(id trips.DriverID) {
			if id == "far" {
				changes <- c.g.IsWatched(id)
			}
		}
	})
	rider := c.connectPhone(trips.Rider("r"), asProto, nil)
	id := c.openTrip("r")
	c.moveTrip("far", id, trips.KindReserved)
	rider.awaitEvents(2)
	if !<-changes {
		t.Fatal("the first watcher was not noticed")
	}
	rider.cutConnection()
	for watched := true; watched; {
		select {
		case watched = <-changes:
		case <-time.After(patience):
			t.Fatal("the last watcher left unnoticed")
		}
	}
}

func TestAMapIsShownWhenOtherNodesHaveAnsweredAndAskedForEachSecond(t *testing.T) {
	asked := make(chan []sharedstate.Area, 100)
	var c *testNode
	var answered sync.Once
	c = newTestNode(t, func(cfg *Config) {
		cfg.LookAround = func(_ context.Context, areas []sharedstate.Area) int {
			answered.Do(func() { c.parkDriver("answered", 300) })
			asked <- areas
			return 1
		}
	})
	p := c.connectBrowser(asProto)
	p.sendFrame(areaFrame(market, 1000))
	if got := p.awaitCars(1); len(got) != 1 || got[0] != "answered" {
		t.Errorf("at once: %v", got)
	}
	if areas := <-asked; len(areas) != 1 || areas[0].Metres != 1000 || areas[0].FreeOnly {
		t.Errorf("asked for %+v", areas)
	}

	c.startRunning()
	c.g.tickSessions()
	if areas := <-asked; len(areas) != 1 || areas[0].Metres != 1000 {
		t.Errorf("asked for %+v", areas)
	}
}
