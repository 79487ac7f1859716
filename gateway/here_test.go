package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// keepBack has the town's notices wait until the returned function tells them,
// as while Redis is away.
func (c *town) keepBack() (tell func()) {
	var waiting []trips.OutboxMessage
	c.lose(func(n trips.OutboxMessage) []trips.OutboxMessage {
		waiting = append(waiting, n) // one notice at a time
		return nil
	})
	return func() {
		c.lose(nil)
		c.deliver(waiting...)
	}
}

func TestWhatIsCommittedHereIsHeardHereWhileRedisIsAway(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		c := newTown(t, nil)
		r := reserved(t, c, riders, drivers)
		tablet := c.connect(trips.Rider("r"), asJSONText, nil)
		tell := c.keepBack()
		r.driver.does(stepFrame(r.trip, wire.Step_ARRIVE))
		r.rider.does(chatFrame(r.trip, "which car?"))
		r.driver.does(chatFrame(r.trip, "the yellow one"))
		r.driver.does(stepFrame(r.trip, wire.Step_START))
		want := map[*phone]string{
			r.rider:  "[event 1 event 2 event 3 chat 1 chat 2 event 4]",
			r.driver: "[event 2 event 3 chat 1 chat 2 event 4]",
			tablet:   "[event 3 chat 1 chat 2 event 4]",
		}

		hear := func() {
			t.Helper()
			for p, story := range want {
				p.until(story, func([]*wire.ServerFrame) bool { return len(fmt.Sprint(p.heard())) >= len(story) })
				p.settled()
				if got := fmt.Sprint(p.heard()); got != story {
					t.Errorf("%v heard %v, want %s", p.who, got, story)
				}
			}
		}

		hear()
		tell()
		hear() // nothing twice

		for of, n := range map[class]int{classTripEvent: 2 * 3, classChat: 2 * 3} {
			if c.booked(of, outcomeDuplicate) != 0 || c.booked(of, outcomeEcho) < n {
				t.Errorf("%s: booked %d times as an echo and %d times as repeated", classNames[of], c.booked(of, outcomeEcho),
					c.booked(of, outcomeDuplicate))
			}
		}
	})
}

func TestARiderSeesTheCarOfADriverWhoAcceptedWhileRedisIsAway(t *testing.T) {
	c := newTown(t, nil)
	rider, driver := c.connect(trips.Rider("r"), asProto, nil), c.connect(trips.Driver("d"), asProto, nil)
	c.keepBack()
	id := trips.TripID(rider.does(requestFrame(market, airport)).Trip.Id)
	c.offer("o", "d", id)

	driver.does(answerFrame("o", true))
	rider.events(2)
	driver.drive()
	has[*wire.ServerFrame_Position](rider, 1)
}

func TestTheEndOfARideMissedElsewhereIsToldBeforeTheNextOneBegunHere(t *testing.T) {
	c := newTown(t, nil)
	c.runs()
	r := reserved(t, c, asProto, asJSONText)
	r.rider.events(2)
	tell := c.keepBack()
	c.step("d", r.trip, trips.KindDriverCancel) // on another node
	next := trips.TripID(r.rider.does(requestFrame(market, airport)).Trip.Id)
	r.rider.events(4)

	tell()
	c.step("d", next, trips.KindReserved)
	r.rider.events(5)
	r.rider.settled()
	var told []string
	for _, e := range frames[*wire.ServerFrame_TripEvent](r.rider.sofar()) {
		told = append(told, fmt.Sprint(e.TripEvent.TripId == string(next), e.TripEvent.Seq))
	}
	if got := fmt.Sprint(told); got != "[false 1 false 2 false 3 true 1 true 2]" {
		t.Errorf("told of %v", got)
	}
}

// The clock that a trip was asked for by may have been ahead of the next one's.
func TestWhichTripComesNextDoesNotHangOnClocks(t *testing.T) {
	c := newTown(t, nil)
	c.runs()

	rider, driver := c.connect(trips.Rider("r"), asProto, nil), c.connect(trips.Driver("d"), asProto, nil)
	var seen []trips.TripID
	for i, back := range []time.Duration{0, 10 * time.Minute, 0} {
		c.pass(-back)
		id := c.request("r")
		rider.events(3*i + 1)
		c.step("d", id, trips.KindReserved)
		driver.events(2*i + 1)
		c.step("d", id, trips.KindDriverCancel)
		rider.events(3*i + 3)
		driver.events(2*i + 2)
		seen = append(seen, id)
	}

	repeat, err := c.store.Events(t.Context(), seen[1], 0)
	if err != nil {
		t.Fatal(err)
	}

	for _, ev := range repeat {
		c.g.DeliverCommitted(ev)
	}
	rider.settled()

	for i, e := range frames[*wire.ServerFrame_TripEvent](rider.sofar()) {
		if trips.TripID(e.TripEvent.TripId) != seen[i/3] || e.TripEvent.Seq != uint32(i%3+1) {
			t.Errorf("event %d of the story is %v", i, e.TripEvent)
		}
	}
}
