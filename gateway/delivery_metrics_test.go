package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// countOutcomes adds up what became of a class; echo and shown are of what was
// sent.
func (c *testNode) countOutcomes(of class) (n int) {
	for what := range outcomes {
		if what != outcomeEcho && what != outcomeShown {
			n += c.countDelivery(of, what)
		}
	}
	return n
}

// countPending counts positions that wait for credit.
func (c *testNode) countPending() (n int) {
	for _, s := range c.g.sessions.All(nil) {
		s.out.mu.Lock()
		if s.out.position.fresh {
			n++
		}
		s.out.mu.Unlock()
	}
	return n
}

func TestEveryBelievedPositionIsAccountedForOncePerWatcher(t *testing.T) {
	c := newTestNode(t, nil)
	r := newReservedRide(t, c, asProto, asJSONText)
	idle := c.connectPhone(trips.Rider("r"), asJSONText, nil) // acks nothing
	settle := func() {
		for _, p := range []*phone{r.rider, idle} {
			p.awaitHandled()
		}
		c.awaitCondition("what is written is booked", func() bool {
			return c.countDelivery(classPosition, outcomeSent) == len(r.rider.positionsSoFar())+len(idle.positionsSoFar())
		})
	}

	r.driver.driveOn()
	settle()
	before, believed := c.countOutcomes(classPosition)+c.countPending(), c.countFixes("accepted")

	for i := range uint32(30) {
		r.driver.driveOn()
		if i%3 == 0 {
			r.rider.ackPositions(uint32(len(r.rider.positionsSoFar())))
		}
	}

	settle()
	due := (c.countFixes("accepted") - believed) * 2
	if got := c.countOutcomes(classPosition) + c.countPending() - before; due != 60 || got != due {
		t.Errorf("of %d positions %d are accounted for", due, got)
	}

	written := len(r.rider.positionsSoFar()) + len(idle.positionsSoFar())
	if c.countDelivery(classPosition, outcomeOverwritten) == 0 || written >= due {
		t.Errorf("%d were written, none was overwritten", written)
	}
	if got, acked := c.countDelivery(classPosition, outcomeShown), len(r.rider.positionsSoFar()); got == 0 || got > acked {
		t.Errorf("%d booked as shown of %d", got, acked)
	}

	c.g.DeliverReplica("d") // a position that both have heard of
	if got := c.countDelivery(classPosition, outcomeDuplicate); got != 2 {
		t.Errorf("%d repeats booked, want 2", got)
	}
	idle.cutConnection() // a position waits for its credit
	c.awaitCondition("what waits for a phone that is gone is booked", func() bool { return c.countDelivery(classPosition, outcomeGone) == 1 })
	if got := c.countOutcomes(classPosition) + c.countPending() - before; got != due+2 {
		t.Errorf("of %d positions %d are accounted for in the end", due+2, got)
	}
}

// Each case says what becomes of the messages of three events and three
// messages on their way to two phones.
func TestEachEventAndMessageIsCountedOnce(t *testing.T) {
	type books map[outcome]int
	first := true
	for name, x := range map[string]struct {
		arrive func(trips.OutboxMessage) []trips.OutboxMessage
		want   books // of messages; of events there are as many
	}{
		"all arrive":        {nil, books{outcomeSent: 6}},
		"all arrive twice":  {func(n trips.OutboxMessage) []trips.OutboxMessage { return []trips.OutboxMessage{n, n} }, books{outcomeSent: 6, outcomeDuplicate: 6}},
		"none arrives":      {loseAll, books{outcomeRecovered: 6}},
		"the first is lost": {func(n trips.OutboxMessage) []trips.OutboxMessage { return firstLost(&first, n) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestNode(t, nil)
			c.startRunning()
			r := newReservedRide(t, c, asProto, asJSONText)
			base := books{}
			c.awaitCondition("the reservation is booked", func() bool { return c.countDelivery(classTripEvent, outcomeSent) == 3 })
			base[outcomeSent] = 3
			c.loseMessages(x.arrive)
			first = true
			for i := range 3 {
				c.sendChat(trips.Driver("d"), r.trip, fmt.Sprint(i))
			}
			first = true
			c.moveTrip("d", r.trip, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
			c.loseMessages(nil)
			c.g.OnGap()
			for _, p := range []*phone{r.rider, r.driver} {
				awaitBodies[*wire.ServerFrame_Chat](p, 3)
			}
			r.rider.awaitFrames("the end", hasTripEnded)
			r.driver.awaitFrames("the end", hasTripEnded)

			for _, of := range []class{classChat, classTripEvent} {
				got := func(what outcome) int {
					if of == classTripEvent {
						return c.countDelivery(of, what) - base[what]
					}
					return c.countDelivery(of, what)
				}

				c.awaitCondition("each is booked as written", func() bool { return got(outcomeSent)+got(outcomeRecovered) == 6 })
				if got(outcomeSlow)+got(outcomeGone) != 0 {
					t.Errorf("%s: lost %d and %d", classNames[of], got(outcomeSlow), got(outcomeGone))
				}
				for what, n := range x.want {
					if got(what) != n {
						t.Errorf("%s %s: %d, want %d", classNames[of], outcomeNames[what], got(what), n)
					}
				}
			}

			if x.want == nil && c.countDelivery(classChat, outcomeEarly) == 0 {
				t.Error("no message came early")
			}
		})
	}
}

func firstLost(first *bool, n trips.OutboxMessage) []trips.OutboxMessage {
	if *first {
		*first = false
		return nil
	}
	return []trips.OutboxMessage{n}
}

func hasTripEnded(got []*wire.ServerFrame) bool {
	for _, f := range got {
		if f.GetTripEvent().GetKind() == string(trips.KindCompleted) {
			return true
		}
	}
	return false
}

func TestWhatAPhoneDidNotReadIsBookedAsLostToIt(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.Queue = 200 })
	r, slow := slowRide(t, c)
	said := r.fillSocket(slow)
	for !slow.conn.hasEnded() {
		said++
		r.sendChat(trips.Driver("d"), r.trip, fmt.Sprint(said))
		awaitBodies[*wire.ServerFrame_Chat](r.driver, said)
	}

	r.rider.conn.Close()
	c.awaitCondition("it is gone", func() bool { return len(c.g.sessions.OfUser(trips.Rider("r"), nil)) == 0 })
	c.awaitCondition("all is booked", func() bool { return c.countOutcomes(classChat) == 2*said })
	if full, left := c.countDelivery(classChat, outcomeSlow), c.countDelivery(classChat, outcomeGone); full != 1 || left < 200 {
		t.Errorf("%d found the queue full, %d were left in it", full, left)
	}
}

func TestOperatorsReadTheDeliveryMetrics(t *testing.T) {
	c := newTestNode(t, nil)
	text := getPath(c.api.Admin(), "/metrics").Body.String()
	for of := range classes {
		for what := range outcomes {
			if line := fmt.Sprintf("ridehail_delivery_total{class=%q,outcome=%q} ", classNames[of], outcomeNames[what]); !strings.Contains(text, line) {
				t.Errorf("the metrics lack %s", line)
			}
		}
	}
}
