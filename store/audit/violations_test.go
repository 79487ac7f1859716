package audit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

const (
	oneDriver = "a driver has one active trip at most, at every moment"
	oneRider  = "a rider has one active trip at most, at every moment"
	dense     = "events of a trip are numbered 1, 2, 3, ..."
	legal     = "each event is the legal next move of its trip"
	inPlace   = "a car is where its driver arrives, starts and completes"
	stands    = "each trip stands where its last event left it"
	paid      = "each completed trip is charged"
	unpaid    = "no trip is charged twice, or without being completed"
	exact     = "each charge is the quoted fare, under the trip's reference"
	returned  = "only what was charged is given back, once, and no more than that"
	numbered  = "chat messages of a trip are numbered 1, 2, 3, ..."
	private   = "only the two people of a trip talk in its chat"
	theirs    = "only the two people of a trip call for help on it"
	callOnce  = "no call for help is kept twice"
	raised    = "each call for help came before the operators"
	relayed   = "nothing is stuck in the outbox"
)

// violationCase breaks a source in one way. The named invariants must report
// it, with the row, and no other may.
type violationCase struct {
	name   string
	do     func(c *fakeSource)
	breaks []string
	row    string
}

// lastEvent returns the last event of a trip.
func (c *fakeSource) lastEvent(id trips.TripID) *trips.Event {
	for i := range slices.Backward(c.events) {
		if c.events[i].Trip.ID == id {
			return &c.events[i]
		}
	}

	panic("no such trip: " + id)
}

func (c *fakeSource) tripRow(id trips.TripID) *trips.Trip {
	return &c.rows[slices.IndexFunc(c.rows, func(t trips.Trip) bool { return t.ID == id })]
}

// dropEvents drops the events of a trip that a test does not want.
func (c *fakeSource) dropEvents(unwanted func(ev trips.Event) bool) {
	kept, seqs := c.events[:0], c.seqs[:0]
	for i, ev := range c.events {
		if !unwanted(ev) {
			kept, seqs = append(kept, ev), append(seqs, c.seqs[i])
		}
	}

	c.events, c.seqs = kept, seqs
}

var violationCases = []violationCase{
	{"a driver is given a second trip", func(c *fakeSource) {
		t := c.recordEvent(trips.Request("trip-9", "efe", marina, airport, quote, now))
		c.recordEvent(t.Reserve("chidi", now))
	}, []string{oneDriver}, "driver chidi: event 2 of trip trip-9 binds who is bound by trip trip-2"},
	{"a double booking that is over", func(c *fakeSource) {
		t := c.recordEvent(trips.Request("trip-9", "efe", marina, airport, quote, now))
		t = c.recordEvent(t.Reserve("chidi", now))
		c.recordEvent(t.Cancel(trips.Driver("chidi"), "two at once", now))
	}, []string{oneDriver}, "driver chidi: event 2 of trip trip-9"},
	{"a rider asks twice", func(c *fakeSource) {
		c.recordEvent(trips.Request("trip-9", "ada", marina, airport, quote, now))
	}, []string{oneRider}, "rider ada: event 1 of trip trip-9"},
	{"an event is lost", func(c *fakeSource) {
		c.dropEvents(func(ev trips.Event) bool { return ev.Trip.ID == "trip-2" && ev.Kind == trips.KindArrived })
	}, []string{dense, legal}, "trip trip-2: event 4"},
	{"an event is kept under another number", func(c *fakeSource) { c.seqs[3]++ }, []string{dense}, "trip trip-1: event 5"},
	{"an event is kept twice", func(c *fakeSource) {
		c.events, c.seqs = append(c.events, *c.lastEvent("trip-4")), append(c.seqs, c.lastEvent("trip-4").Seq())
	}, []string{dense, legal}, "trip trip-4: event 2"},
	{"a trip arrives without a driver", func(c *fakeSource) {
		t := c.recordEvent(trips.Request("trip-9", "efe", marina, airport, quote, now))
		t.State, t.Version = trips.Arrived, 2
		c.recordEvent(trips.Event{Kind: trips.KindArrived, At: now, By: trips.Driver(""), Trip: t}, nil)
	}, []string{legal}, "trip trip-9: event 2"},
	{"an event leads where its kind does not", func(c *fakeSource) {
		c.lastEvent("trip-2").Trip.State, c.tripRow("trip-2").State = trips.Arrived, trips.Arrived
	}, []string{legal}, "trip trip-2: event 4"},
	{"an event is of an unknown kind", func(c *fakeSource) { c.lastEvent("trip-2").Kind = "teleported" },
		[]string{legal}, "teleported"},
	{"another driver's hand", func(c *fakeSource) { c.lastEvent("trip-3").By = trips.Driver("chidi") },
		[]string{legal}, "trip trip-3"},
	{"the fare grew on the way", func(c *fakeSource) { c.lastEvent("trip-2").Trip.Quote.Fare.Minor++ },
		[]string{legal}, "trip trip-2"},
	{"a request comes twice", func(c *fakeSource) {
		ev := *c.lastEvent("trip-4")
		ev.Kind, ev.Trip.State, ev.Trip.Version, ev.Trip.EndedAt = trips.KindRequested, trips.Requested, 3, time.Time{}
		c.recordEvent(ev, nil)
	}, []string{legal}, "requested again when it was expired"},
	{"a driver arrives 1.2 km away", func(c *fakeSource) {
		for i, ev := range c.events {
			if ev.Trip.ID == "trip-2" && ev.Kind == trips.KindArrived {
				c.events[i].Car = trips.CarFix{Point: location.Point{Lng: marina.Lng, Lat: marina.Lat - .011}, Accuracy: 5, Age: time.Second}
			}
		}
	}, []string{inPlace}, "event 3: trip trip-2: arrived is not possible 1223 m away"},
	{"a driver starts by a fix of long ago", func(c *fakeSource) { c.lastEvent("trip-2").Car.Age = time.Hour },
		[]string{inPlace}, "event 4: trip trip-2: the last fix is 1h0m0s old"},
	{"an early end is not marked", func(c *fakeSource) { c.lastEvent("trip-5").Early = false },
		[]string{inPlace}, "event 5: trip trip-5: completed is not possible"},
	{"a ride ends early where it began", func(c *fakeSource) {
		c.lastEvent("trip-5").Car = trips.CarFix{Point: marina, Accuracy: 200}
	}, []string{inPlace}, "event 5: trip trip-5: completed is not possible 0 m away"},
	{"a row has another driver than its event", func(c *fakeSource) { c.tripRow("trip-2").Driver = "dayo" },
		[]string{stands}, `trip trip-2: the row says on_trip, version 4, of driver "dayo"`},
	{"a row is behind its events", func(c *fakeSource) { c.tripRow("trip-3").Version-- }, []string{stands}, "trip trip-3"},
	{"a row is ahead of its events", func(c *fakeSource) { c.tripRow("trip-2").Version++ },
		[]string{stands}, "trip trip-2: the row says version 5, which has no event"},
	{"a row is lost", func(c *fakeSource) { c.rows, c.said, c.charges, c.refunds = c.rows[1:], nil, nil, nil },
		[]string{stands}, "trip trip-1: has events up to 5, and no row"},
	{"a trip has no events", func(c *fakeSource) {
		c.rows = append(c.rows, trips.Trip{ID: "trip-9", Version: 1, State: trips.Requested, RequestedAt: now})
	}, []string{stands}, "trip trip-9"},
	{"a trip is in another region than its event", func(c *fakeSource) { c.tripRow("trip-4").Region = location.Region("elsewhere") },
		[]string{stands}, "trip trip-4"},
	{"a completed trip is never charged", func(c *fakeSource) { c.charges, c.refunds = nil, nil }, []string{paid},
		"trip trip-1 of rider ada: completed 2026-03-01T12:20:00Z, not charged"},
	{"a cancelled trip is charged", func(c *fakeSource) { c.charges = append(c.charges, newCharge(c.lastEvent("trip-3").Trip)) },
		[]string{unpaid}, "trip trip-3 is cancelled, charged 2620.00 NGN as p-trip-3"},
	{"a trip is charged twice", func(c *fakeSource) { c.charges = append(c.charges, c.charges[0]) },
		[]string{unpaid}, "trip trip-1: charged by p-trip-1 and again"},
	{"a trip that never was is charged", func(c *fakeSource) { c.charges = append(c.charges, newCharge(trips.Trip{ID: "trip-9"})) },
		[]string{unpaid}, "trip trip-9: does not exist"},
	{"a charge is a unit too much", func(c *fakeSource) { c.charges[0].Amount.Minor++ }, []string{exact},
		"at 2620.00 NGN: charged 2620.01 NGN"},
	{"a charge is in another currency", func(c *fakeSource) { c.charges[0].Amount.Currency = "EUR" }, []string{exact, returned}, "EUR"},
	{"a charge has another reference", func(c *fakeSource) { c.charges[0].Reference = "again" }, []string{exact}, `"again"`},
	{"another rider pays", func(c *fakeSource) { c.charges[0].Rider = "bola" }, []string{exact}, "to rider bola"},
	{"a trip that was never paid is given back", func(c *fakeSource) {
		c.refunds = append(c.refunds, newRefund(c.lastEvent("trip-3").Trip))
	}, []string{returned}, "trip trip-3: never charged, refund of 2620.00 NGN is done"},
	{"a charge is given back twice", func(c *fakeSource) { c.refunds = append(c.refunds, c.refunds[0]) }, []string{returned},
		"trip trip-1: refunded as"},
	{"more is given back than was taken", func(c *fakeSource) { c.refunds[0].Amount.Minor++ }, []string{returned},
		"charged 2620.00 NGN, refund of 2620.01 NGN"},
	{"a refund takes", func(c *fakeSource) { c.refunds[0].Amount.Minor = -5 }, []string{returned}, "trip trip-1"},
	{"a refund is in another currency", func(c *fakeSource) { c.refunds[0].Amount.Currency = "EUR" }, []string{returned}, "EUR"},
	{"a refund has another reference", func(c *fakeSource) { c.refunds[0].Reference = "again" }, []string{returned}, `"again"`},
	{"a trip that never was is given back", func(c *fakeSource) { c.refunds = append(c.refunds, newRefund(trips.Trip{ID: "trip-9"})) },
		[]string{returned}, "trip trip-9: does not exist, refunded"},
	{"a message is lost", func(c *fakeSource) { c.said = slices.Delete(c.said, 1, 2) }, []string{numbered},
		"trip trip-1: message 3 follows message 1"},
	{"a message is kept twice", func(c *fakeSource) { c.said = append(c.said, c.said[2]) }, []string{numbered}, "message 3"},
	{"a stranger talks", func(c *fakeSource) { c.said[1].From = trips.Rider("bola") }, []string{private}, "rider:bola speaks"},
	{"the system talks", func(c *fakeSource) { c.said[1].From = trips.System("node-1") }, []string{private}, "system:node-1"},
	{"a talk about no trip", func(c *fakeSource) {
		c.said = append(c.said, chat.Message{Trip: "trip-9", Seq: 1, From: trips.Rider("ada")})
	}, []string{private}, "trip trip-9: does not exist"},
	{"a stranger calls for help", func(c *fakeSource) { c.calls[0].From = trips.Rider("bola") }, []string{theirs},
		"trip trip-2: rider:bola calls for help, call call-1"},
	{"the system calls for help", func(c *fakeSource) { c.calls[0].From = trips.System("node-1") }, []string{theirs}, "system:node-1"},
	{"a call on no trip", func(c *fakeSource) { c.calls[0].Trip = "trip-9" }, []string{theirs},
		"trip trip-9: does not exist, has 1 calls for help"},
	{"a call is kept twice", func(c *fakeSource) {
		c.calls = append(c.calls, sos.Alert{ID: "call-4", Trip: "trip-2", From: trips.Rider("ada"), ClientID: "s1", NotifiedAt: now})
	}, []string{callOnce}, "trip trip-2: call call-4 of rider:ada is call call-1 again: both are their s1"},
	{"a call is never raised", func(c *fakeSource) { c.calls[0].NotifiedAt = time.Time{} }, []string{raised},
		"trip trip-2: call call-1 of rider:ada, made 2026-03-01T13:00:00Z, was never raised"},
	{"an outbox message is never relayed", func(c *fakeSource) { c.oldest = now.Add(-time.Hour) }, []string{relayed},
		"3 outbox messages wait, the oldest since 2026-03-01T13:00:00Z"},
}

func TestEveryHarmIsCaughtByItsInvariantAndNamed(t *testing.T) {
	for _, h := range violationCases {
		t.Run(h.name, func(t *testing.T) {
			c := newIntactSource()
			h.do(c)

			report := runAudit(t, c)
			for _, i := range report.Invariants {
				if want := slices.Contains(h.breaks, i.Name); want != (i.Violations > 0) {
					t.Errorf("%s: %d violations\n%s", i.Name, i.Violations, strings.Join(i.Rows, "\n"))
				}
			}

			if !strings.Contains(report.Text(), h.row) {
				t.Errorf("nothing names %q in\n%s", h.row, report.Text())
			}
		})
	}
}

func TestNoInvariantGoesWithoutAHarmThatBreaksIt(t *testing.T) {
	for _, i := range runAudit(t, newIntactSource()).Invariants {
		if !slices.ContainsFunc(violationCases, func(h violationCase) bool { return slices.Contains(h.breaks, i.Name) }) {
			t.Errorf("nothing breaks %q", i.Name)
		}
	}
}
