package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// spiedStore calls onResume after each read for phones that connect.
type spiedStore struct {
	*memory
	onResume func(phones int)
}

func (s spiedStore) ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
	[]trips.ResumeState, map[trips.TripID]payments.Charge, error,
) {
	defer s.onResume(len(queries))
	return s.memory.ResumeStates(ctx, queries)
}

func newSpiedTown(t *testing.T, onResume func(phones int)) *town {
	return newTown(t, func(cfg *Config) { cfg.Store = spiedStore{cfg.Store.(*memory), onResume} })
}

// newBusyTown has a reserved trip, and calls afterRead once, just after the
// welcome of a phone has read how the trip stands.
func newBusyTown(t *testing.T, afterRead func(c *town, id trips.TripID)) *town {
	var c *town
	var id trips.TripID
	once := sync.OnceFunc(func() { afterRead(c, id) })
	c = newSpiedTown(t, func(int) { once() })
	id = c.request("r")
	c.step("d", id, trips.KindReserved)
	return c
}

func TestNothingThatHappensDuringAWelcomeIsMissed(t *testing.T) {
	both(t, func(t *testing.T, riders, _ string) {
		c := newBusyTown(t, func(c *town, id trips.TripID) {
			c.step("d", id, trips.KindArrived)
			c.say(trips.Driver("d"), id, "one")
			c.step("d", id, trips.KindOnTrip)
			c.say(trips.Driver("d"), id, "two")
		})

		p := c.connect(trips.Rider("r"), riders, nil)
		if w := p.welcome(); w.Trip.GetVersion() != 2 || w.ChatSeq != 0 {
			t.Errorf("welcome %v", w)
		}

		p.until("the second message", func(_ []*wire.ServerFrame) bool { return len(p.heard()) >= 4 })
		if got := fmt.Sprint(p.heard()); got != "[event 3 event 4 chat 1 chat 2]" {
			t.Errorf("heard %v", got)
		}
		if p.sofar()[0].GetWelcome() == nil {
			t.Errorf("the first frame is %v", p.sofar()[0])
		}
		if len(c.g.chatSubscribers.newest) > 0 || c.g.chatSubscribers.joining != 0 {
			t.Error("it still remembers messages for a session that joins")
		}
	})
}

func TestAGapDuringAWelcomeIsClosedAfterIt(t *testing.T) {
	c := newBusyTown(t, func(c *town, id trips.TripID) {
		c.runs()
		c.lose(nothing)
		c.step("d", id, trips.KindArrived)
		c.g.Gap()
		c.until("it was looked at", func() bool { return len(c.g.gaps) == 0 })
	})
	if seqs := c.connect(trips.Rider("r"), asProto, nil).events(1); !sameUpTo(seqs, 3, 3) {
		t.Errorf("saw events %v", seqs)
	}
}

func TestAMessageCommittedHereDuringAWelcomeIsToldAfterItWhileRedisIsAway(t *testing.T) {
	c := newBusyTown(t, func(c *town, id trips.TripID) {
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
