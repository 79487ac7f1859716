package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// busyHour is a store in which things happen just after a phone's welcome has
// read how they stand.
type busyHour struct {
	*memory
	afterActive, afterHistory func() // once each
}

func (b *busyHour) ActiveTrip(ctx context.Context, who trips.Actor) (trips.Trip, error) {
	t, err := b.memory.ActiveTrip(ctx, who)
	b.afterActive()
	return t, err
}

func (b *busyHour) ChatHistory(ctx context.Context, id trips.TripID, after uint32, limit int) ([]chat.Message, error) {
	said, err := b.memory.ChatHistory(ctx, id, after, limit)
	b.afterHistory()
	return said, err
}

// busyTown has a reserved trip, and does these things while its rider is
// welcomed.
func busyTown(t *testing.T, afterActive, afterHistory func(c *town, id trips.TripID)) (*town, trips.TripID) {
	var c *town
	var id trips.TripID
	c = newTown(t, func(cfg *Config) {
		b := &busyHour{memory: cfg.Store.(*memory)}
		b.afterActive = sync.OnceFunc(func() { afterActive(c, id) })
		b.afterHistory = sync.OnceFunc(func() { afterHistory(c, id) })
		cfg.Store, cfg.Room.Store = b, b
	})

	id = c.request("r")
	c.step("d", id, trips.KindReserved)
	return c, id
}

func TestNothingThatHappensDuringAWelcomeIsMissed(t *testing.T) {
	both(t, func(t *testing.T, riders, _ string) {
		c, _ := busyTown(t, func(c *town, id trips.TripID) {
			c.step("d", id, trips.KindArrived)
			c.say(trips.Driver("d"), id, "one")
		}, func(c *town, id trips.TripID) {
			c.step("d", id, trips.KindOnTrip)
			c.say(trips.Driver("d"), id, "two")
		})

		p := c.connect(trips.Rider("r"), riders, nil)
		if w := p.welcome(); w.Trip.GetVersion() != 2 || w.ChatSeq != 1 {
			t.Errorf("welcome %v", w)
		}

		p.events(2)
		p.until("the second message", func(_ []*wire.ServerFrame) bool { return len(p.heard()) >= 3 })
		if got := fmt.Sprint(p.heard()); got != "[event 3 event 4 chat 2]" {
			t.Errorf("heard %v", got)
		}
		if p.sofar()[0].GetWelcome() == nil {
			t.Errorf("the first frame is %v", p.sofar()[0])
		}
	})
}

func TestAGapDuringAWelcomeIsClosedAfterIt(t *testing.T) {
	c, _ := busyTown(t, func(c *town, id trips.TripID) {
		c.runs()
		c.lose(nothing)
		c.step("d", id, trips.KindArrived)
		c.g.Gap()
		c.until("it was looked at", func() bool { return len(c.g.gaps) == 0 })
	}, func(*town, trips.TripID) {})
	if seqs := c.connect(trips.Rider("r"), asProto, nil).events(1); !sameUpTo(seqs, 3, 3) {
		t.Errorf("saw events %v", seqs)
	}
}

func TestAMessageCommittedHereDuringAWelcomeIsToldAfterItWhileRedisIsAway(t *testing.T) {
	c, _ := busyTown(t, func(*town, trips.TripID) {}, func(c *town, id trips.TripID) {
		c.lose(nothing)
		m, err := c.g.cfg.Room.Send(t.Context(), trips.Driver("d"), id, "say", "one")
		if err != nil {
			t.Error(err)
		}
		c.g.deliverChat(m, here)
	})

	p := c.connect(trips.Rider("r"), asJSONText, nil)
	if w := p.welcome(); w.ChatSeq != 0 {
		t.Errorf("welcome %v", w)
	}
	if m := has[*wire.ServerFrame_Chat](p, 1)[0].Chat; m.Seq != 1 || m.Text != "one" {
		t.Errorf("heard %v", m)
	}
}
