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

func newSpiedNode(t *testing.T, onResume func(phones int)) *testNode {
	return newTestNode(t, func(cfg *Config) { cfg.Store = spiedStore{cfg.Store.(*memory), onResume} })
}

// newBusyNode has a reserved trip, and calls afterRead once, just after the
// welcome of a phone has read how the trip stands.
func newBusyNode(t *testing.T, afterRead func(c *testNode, id trips.TripID)) *testNode {
	var c *testNode
	var id trips.TripID
	once := sync.OnceFunc(func() { afterRead(c, id) })
	c = newSpiedNode(t, func(int) { once() })
	id = c.openTrip("r")
	c.moveTrip("d", id, trips.KindReserved)
	return c
}

func TestNothingThatHappensDuringAWelcomeIsMissed(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, _ string) {
		c := newBusyNode(t, func(c *testNode, id trips.TripID) {
			c.moveTrip("d", id, trips.KindArrived)
			c.sendChat(trips.Driver("d"), id, "one")
			c.moveTrip("d", id, trips.KindOnTrip)
			c.sendChat(trips.Driver("d"), id, "two")
		})

		p := c.connectPhone(trips.Rider("r"), riders, nil)
		if w := p.awaitWelcome(); w.Trip.GetVersion() != 2 || w.ChatSeq != 0 {
			t.Errorf("welcome %v", w)
		}

		p.awaitFrames("the second message", func(_ []*wire.ServerFrame) bool { return len(p.heardInOrder()) >= 4 })
		if got := fmt.Sprint(p.heardInOrder()); got != "[event 3 event 4 chat 1 chat 2]" {
			t.Errorf("heard %v", got)
		}
		if p.framesSoFar()[0].GetWelcome() == nil {
			t.Errorf("the first frame is %v", p.framesSoFar()[0])
		}
		if len(c.g.chatSubscribers.newest) > 0 || c.g.chatSubscribers.joining != 0 {
			t.Error("it still remembers messages for a session that joins")
		}
	})
}

func TestAGapDuringAWelcomeIsClosedAfterIt(t *testing.T) {
	c := newBusyNode(t, func(c *testNode, id trips.TripID) {
		c.startRunning()
		c.loseMessages(loseAll)
		c.moveTrip("d", id, trips.KindArrived)
		c.g.OnGap()
		c.awaitCondition("it was looked at", func() bool { return len(c.g.gaps) == 0 })
	})
	if seqs := c.connectPhone(trips.Rider("r"), asProto, nil).awaitEvents(1); !sameUpTo(seqs, 3, 3) {
		t.Errorf("saw events %v", seqs)
	}
}

func TestAMessageCommittedHereDuringAWelcomeIsToldAfterItWhileRedisIsAway(t *testing.T) {
	c := newBusyNode(t, func(c *testNode, id trips.TripID) {
		c.loseMessages(loseAll)
		m, err := c.g.cfg.Room.Send(t.Context(), trips.Driver("d"), id, "say", "one")
		if err != nil {
			t.Error(err)
		}
		c.g.deliverChat(trips.Actor{}, m, here)
	})

	p := c.connectPhone(trips.Rider("r"), asJSONText, nil)
	if w := p.awaitWelcome(); w.ChatSeq != 0 {
		t.Errorf("welcome %v", w)
	}
	if m := awaitBodies[*wire.ServerFrame_Chat](p, 1)[0].Chat; m.Seq != 1 || m.Text != "one" {
		t.Errorf("heard %v", m)
	}
}
