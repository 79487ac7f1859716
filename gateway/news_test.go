package gateway

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// slowNews confirms the news of users when the test says so.
type slowNews struct {
	mu        sync.Mutex // guards below
	confirmed map[trips.Actor]chan struct{}
	joined    []trips.Actor
	left      []trips.Actor
}

func (n *slowNews) JoinNews(user trips.Actor) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.joined = append(n.joined, user)
	return n.channelLocked(user)
}

func (n *slowNews) LeaveNews(user trips.Actor) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = append(n.left, user)
}

func (n *slowNews) channelLocked(user trips.Actor) chan struct{} {
	if n.confirmed == nil {
		n.confirmed = map[trips.Actor]chan struct{}{}
	}
	if n.confirmed[user] == nil {
		n.confirmed[user] = make(chan struct{})
	}
	return n.confirmed[user]
}

// confirm does what a node does when a user's channel is subscribed.
func (n *slowNews) confirm(g *Gateway, user trips.Actor) {
	g.OnGapOf(user)
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.channelLocked(user))
}

func (n *slowNews) counts() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprint(len(n.joined), " joined, ", len(n.left), " left")
}

// newNewsNode is a node that must be told when it hears a user's news. asked
// counts the phones whose states were read.
func newNewsNode(t *testing.T) (c *testNode, news *slowNews, asked *atomic.Int32) {
	news, asked = new(slowNews), new(atomic.Int32)
	c = newTestNode(t, func(cfg *Config) {
		cfg.Store = spiedStore{cfg.Store.(*memory), func(phones int) { asked.Add(int32(phones)) }}
		cfg.JoinNews, cfg.LeaveNews = news.JoinNews, news.LeaveNews
	})
	c.startRunning()
	return c, news, asked
}

func TestThePhonesStateIsReadWhenTheNodeHearsItsNews(t *testing.T) {
	c, news, asked := newNewsNode(t)
	id := c.openTrip("r")

	p := c.connectUnwelcomed(asProto, trips.Rider("r"))
	p.sendHello(nil)
	c.awaitCondition("it joined", func() bool { return news.counts() == "1 joined, 0 left" })
	if asked.Load() != 0 {
		t.Error("it read the state before it heard the news")
	}

	// It is not heard yet, but is in the state that is read.
	c.loseMessages(loseAll)
	c.moveTrip("d", id, trips.KindReserved)
	c.loseMessages(nil)

	news.confirm(c.g, trips.Rider("r"))
	if w := p.awaitWelcome(); w.Trip.GetVersion() != 2 {
		t.Errorf("welcome %v", w)
	}
	c.moveTrip("d", id, trips.KindArrived)
	if seqs := p.awaitEvents(1); !sameUpTo(seqs, 3, 3) || asked.Load() != 1 {
		t.Errorf("saw events %v after %d reads", seqs, asked.Load())
	}

	p.cutConnection()
	c.awaitCondition("it left", func() bool { return news.counts() == "1 joined, 1 left" })
}

// TestNewsConfirmedTooLateIsAGapOfThatUserOnly has two phones that do not wait
// any longer. What is lost before the confirmation is read from the store after
// it.
func TestNewsConfirmedTooLateIsAGapOfThatUserOnly(t *testing.T) {
	c, news, asked := newNewsNode(t)
	id := c.openTrip("r")
	p := c.connectPhone(trips.Rider("r"), asProto, nil)
	c.connectPhone(trips.Rider("other"), asProto, nil)

	c.loseMessages(loseAll)
	c.moveTrip("d", id, trips.KindReserved)
	c.loseMessages(nil)
	before := asked.Load()
	news.confirm(c.g, trips.Rider("r"))
	if seqs := p.awaitEvents(1); !sameUpTo(seqs, 2, 2) {
		t.Errorf("saw events %v", seqs)
	}
	if n := asked.Load() - before; n != 1 {
		t.Errorf("%d phones' states were read again", n)
	}
}

// TestManyPhonesWaitForTheirNewsTogether has all of them confirmed at once: none
// waits behind another, and they share reads of the store.
func TestManyPhonesWaitForTheirNewsTogether(t *testing.T) {
	const phones = 200
	c, news, asked := newNewsNode(t)
	var list []*phone
	users := make([]trips.Actor, phones)
	for i := range users {
		users[i] = trips.Rider(trips.RiderID(fmt.Sprint("r", i)))
		list = append(list, c.connectUnwelcomed(asProto, users[i]))
		list[i].sendHello(nil)
	}
	for _, user := range users {
		news.confirm(c.g, user)
	}
	for _, p := range list {
		p.awaitWelcome()
	}
	if n := asked.Load(); n < phones || n > 2*phones {
		t.Errorf("for %d phones %d states were read", phones, n)
	}
}

func TestADriverWhoComesBackIsFreeOfATripWhoseEndTheNodeDidNotHear(t *testing.T) {
	c := newTestNode(t, nil)
	id := c.openTrip("r")
	c.moveTrip("d", id, trips.KindReserved)
	if d, _ := c.drivers.Get("d"); d.Trip != id {
		t.Fatalf("the driver is %+v", d)
	}

	// Another node had the driver's phone meanwhile.
	elsewhere := &trips.Service{Store: c.store, Now: c.now}
	c.loseMessages(loseAll)
	c.moveTripWith(elsewhere, "d", id, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)

	c.connectPhone(trips.Driver("d"), asProto, nil)
	if d, _ := c.drivers.Get("d"); d.Trip != "" {
		t.Errorf("the driver is still %+v", d)
	}
}

// TestAUsersNewsReachesNoOther has two parties of a ride on one node, which
// hears the news of each on a channel of its own.
func TestAUsersNewsReachesNoOther(t *testing.T) {
	c := newTestNode(t, nil)
	id := c.openTrip("r")
	c.moveTrip("d", id, trips.KindReserved)
	rider := c.connectPhone(trips.Rider("r"), asProto, nil)
	driver := c.connectPhone(trips.Driver("d"), asProto, nil)

	c.loseMessages(func(m trips.OutboxMessage) []trips.OutboxMessage {
		if m.Topic == trips.TopicChat {
			c.g.DeliverMessageTo(trips.Rider("r"), string(m.Topic), m.Payload)
			c.g.DeliverMessageTo(trips.Rider("stranger"), string(m.Topic), m.Payload)
		}
		return nil
	})
	c.sendChat(trips.Driver("d"), id, "hello")
	awaitBodies[*wire.ServerFrame_Chat](rider, 1)
	driver.awaitHandled()
	if n := len(bodiesOf[*wire.ServerFrame_Chat](driver.framesSoFar())); n != 0 {
		t.Errorf("the driver heard %d messages", n)
	}

	now, err := c.store.Trip(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c.g.DeliverTripEventTo(trips.Driver("d"), trips.Event{Kind: trips.KindArrived, Trip: advanced(now)})
	c.g.DeliverTripEventTo(trips.Driver("stranger"), trips.Event{Kind: trips.KindArrived, Trip: advanced(now)})
	driver.awaitEvents(1)
	rider.awaitHandled()
	if seqs := rider.eventsSoFar(); len(seqs) != 0 {
		t.Errorf("the rider heard events %v", seqs)
	}
}

// advanced is the trip one event later.
func advanced(t trips.Trip) trips.Trip {
	t.Version++
	t.State = trips.Arrived
	return t
}
