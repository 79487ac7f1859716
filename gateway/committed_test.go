package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// keepBack has the node's messages wait until the returned function tells them,
// as while Redis is away.
func (c *testNode) keepBack() (tell func()) {
	var waiting []trips.OutboxMessage
	c.loseMessages(func(n trips.OutboxMessage) []trips.OutboxMessage {
		waiting = append(waiting, n) // one message at a time
		return nil
	})
	return func() {
		c.loseMessages(nil)
		c.deliverMessages(waiting...)
	}
}

func TestWhatIsCommittedHereIsHeardHereWhileRedisIsAway(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTestNode(t, nil)
		r := newReservedRide(t, c, riders, drivers)
		tablet := c.connectPhone(trips.Rider("r"), asJSONText, nil)
		tell := c.keepBack()
		r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
		r.rider.mustDo(chatFrame(r.trip, "which car?"))
		r.driver.mustDo(chatFrame(r.trip, "the yellow one"))
		r.driver.mustDo(stepFrame(r.trip, wire.Step_START))
		want := map[*phone]string{
			r.rider:  "[event 1 event 2 event 3 chat 1 chat 2 event 4]",
			r.driver: "[event 2 event 3 chat 1 chat 2 event 4]",
			tablet:   "[event 3 chat 1 chat 2 event 4]",
		}

		hear := func() {
			t.Helper()
			for p, story := range want {
				p.awaitFrames(story, func([]*wire.ServerFrame) bool { return len(fmt.Sprint(p.heardInOrder())) >= len(story) })
				p.awaitHandled()
				if got := fmt.Sprint(p.heardInOrder()); got != story {
					t.Errorf("%v heard %v, want %s", p.who, got, story)
				}
			}
		}

		hear()
		tell()
		hear() // nothing twice

		for of, n := range map[class]int{classTripEvent: 2 * 3, classChat: 2 * 3} {
			if c.countDelivery(of, outcomeDuplicate) != 0 || c.countDelivery(of, outcomeEcho) < n {
				t.Errorf("%s: booked %d times as an echo and %d times as repeated", classNames[of], c.countDelivery(of, outcomeEcho),
					c.countDelivery(of, outcomeDuplicate))
			}
		}
	})
}

func TestARiderSeesTheCarOfADriverWhoAcceptedWhileRedisIsAway(t *testing.T) {
	c := newTestNode(t, nil)
	rider, driver := c.connectPhone(trips.Rider("r"), asProto, nil), c.connectPhone(trips.Driver("d"), asProto, nil)
	c.keepBack()
	id := trips.TripID(rider.mustDo(requestFrame(market, airport)).Trip.Id)
	c.sendOffer("o", "d", id)

	driver.mustDo(answerFrame("o", true))
	rider.awaitEvents(2)
	driver.driveOn()
	awaitBodies[*wire.ServerFrame_Position](rider, 1)
}

func TestTheEndOfARideMissedElsewhereIsToldBeforeTheNextOneBegunHere(t *testing.T) {
	c := newTestNode(t, nil)
	c.startRunning()
	r := newReservedRide(t, c, asProto, asJSONText)
	r.rider.awaitEvents(2)
	tell := c.keepBack()
	c.moveTrip("d", r.trip, trips.KindDriverCancel) // on another node
	next := trips.TripID(r.rider.mustDo(requestFrame(market, airport)).Trip.Id)
	r.rider.awaitEvents(4)

	tell()
	c.moveTrip("d", next, trips.KindReserved)
	r.rider.awaitEvents(5)
	r.rider.awaitHandled()
	var told []string
	for _, e := range bodiesOf[*wire.ServerFrame_TripEvent](r.rider.framesSoFar()) {
		told = append(told, fmt.Sprint(e.TripEvent.TripId == string(next), e.TripEvent.Seq))
	}
	if got := fmt.Sprint(told); got != "[false 1 false 2 false 3 true 1 true 2]" {
		t.Errorf("told of %v", got)
	}
}

// The clock that a trip was asked for by may have been ahead of the next one's.
func TestWhichTripComesNextDoesNotHangOnClocks(t *testing.T) {
	c := newTestNode(t, nil)
	c.startRunning()

	rider, driver := c.connectPhone(trips.Rider("r"), asProto, nil), c.connectPhone(trips.Driver("d"), asProto, nil)
	var seen []trips.TripID
	for i, back := range []time.Duration{0, 10 * time.Minute, 0} {
		c.pass(-back)
		id := c.openTrip("r")
		rider.awaitEvents(3*i + 1)
		c.moveTrip("d", id, trips.KindReserved)
		driver.awaitEvents(2*i + 1)
		c.moveTrip("d", id, trips.KindDriverCancel)
		rider.awaitEvents(3*i + 3)
		driver.awaitEvents(2*i + 2)
		seen = append(seen, id)
	}

	repeat, err := c.store.Events(t.Context(), seen[1], 0)
	if err != nil {
		t.Fatal(err)
	}

	for _, ev := range repeat {
		c.g.DeliverCommitted(ev)
	}
	rider.awaitHandled()

	for i, e := range bodiesOf[*wire.ServerFrame_TripEvent](rider.framesSoFar()) {
		if trips.TripID(e.TripEvent.TripId) != seen[i/3] || e.TripEvent.Seq != uint32(i%3+1) {
			t.Errorf("event %d of the story is %v", i, e.TripEvent)
		}
	}
}
