package storetest

import (
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

var auditStories = []story{
	{"an auditor sees all that is kept", auditSeesAll},
	{"an auditor sees moves of different trips in the order they were made", auditOrderOfMoves},
	{"an auditor sees who had whom in the order it was so", auditOrderOfDrivers},
	{"an auditor may stop", auditStops},
}

func auditSeesAll(w *world) {
	kept, charges := map[trips.TripID]trips.Trip{}, map[trips.TripID]payments.Charge{}
	for i := range 20 {
		who := fmt.Sprint("p", i%3)
		t := w.completeRide(trips.RiderID(who), trips.DriverID(who))
		w.sendChat(t, trips.Rider(t.Rider), "thanks")
		w.sendChat(t, trips.Driver(t.Driver), "bye")
		charges[t.ID] = mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(t)))
		kept[t.ID] = t
	}

	open := w.requestTrip("waiting")
	kept[open.ID] = open
	w.checkNoError(w.AuditTrips(w.Context(), func(t trips.Trip) error {
		checkEqual(w, "trip", t, kept[t.ID])
		delete(kept, t.ID)
		return nil
	}))

	checkEqual(w, "trips not seen", len(kept), 0)
	events := map[trips.TripID]uint32{}
	w.checkNoError(w.AuditEvents(w.Context(), func(seq uint32, ev trips.Event) error {
		events[ev.Trip.ID]++
		checkEqual(w, "number", seq, events[ev.Trip.ID])
		one := mustReturn[[]trips.Event](w)(w.Events(w.Context(), ev.Trip.ID, seq-1))[0]
		checkEqual(w, "event", ev, one)
		return nil
	}))

	checkEqual(w, "trips with events", len(events), 21)
	w.checkAuditedChat()

	w.checkNoError(w.AuditCharges(w.Context(), func(c payments.Charge) error {
		checkEqual(w, "charge", c, charges[c.Trip])
		delete(charges, c.Trip)
		return nil
	}))

	checkEqual(w, "charges not seen", len(charges), 0)
}

func (w *world) checkAuditedChat() {
	w.Helper()
	var before chat.Message
	n := 0
	w.checkNoError(w.AuditChat(w.Context(), func(m chat.Message) error {
		n++
		if m.Trip == before.Trip {
			checkEqual(w, "number", m.Seq, before.Seq+1)
		} else {
			checkEqual(w, "first number", m.Seq, 1)
			if m.Trip < before.Trip {
				w.Errorf("%s after %s", m.Trip, before.Trip)
			}
		}

		checkEqual(w, "message", m, mustReturn[[]chat.Message](w)(w.ChatHistory(w.Context(), m.Trip, m.Seq-1, 1))[0])
		before = m
		return nil
	}))

	checkEqual(w, "messages", n, 40)
}

// checkNoError ends the story on an error.
func (w *world) checkNoError(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func auditOrderOfMoves(w *world) {
	var want []trips.Event
	made := func(ev trips.Event, err error) trips.Trip {
		w.Helper()
		if err == nil {
			ev, err = w.Apply(w.Context(), newMove(w.nextID("command"), ev))
		}
		want = append(want, mustReturn[trips.Event](w)(ev, err))
		return ev.Trip
	}

	long := made(w.newRequest("patient"), nil)
	for i := range 5 {
		short := made(w.newRequest("hasty"), nil)
		if i == 2 {
			long = made(long.Reserve("driver", w.nextTime()))
		}
		made(short.Cancel(trips.Rider("hasty"), "", w.nextTime()))
	}

	made(long.Arrive(trips.Driver("driver"), w.nextTime()))
	var got []trips.Event
	w.checkNoError(w.AuditEvents(w.Context(), func(_ uint32, ev trips.Event) error {
		got = append(got, ev)
		return nil
	}))
	checkSame(w, "events", got, want)
}

// auditOrderOfDrivers lets four drivers compete for riders' trips, each free
// again at once, and replays the log. A wrong order of events would show a
// driver with two trips at once.
func auditOrderOfDrivers(w *world) {
	runAtOnce(8, func(i int) {
		rider := trips.RiderID(fmt.Sprint("rider-", i))
		for j := range 8 {
			t := w.requestTrip(rider)
			driver := trips.DriverID(fmt.Sprint("driver-", (i+j)%4))
			ev, err := t.Reserve(driver, w.nextTime())
			if err == nil {
				ev, err = w.Apply(w.Context(), newMove(w.nextID("accept"), ev))
			}
			switch {
			case err == nil:
				w.commitMove(ev.Trip.Cancel(trips.Driver(driver), "next", w.nextTime()))
			case errors.Is(err, trips.ErrTaken):
				w.commitMove(t.Cancel(trips.Rider(rider), "next", w.nextTime()))
			default:
				w.Error(err)
			}
		}
	})

	has, seq := map[trips.Actor]trips.TripID{}, map[trips.TripID]uint32{}
	w.checkNoError(w.AuditEvents(w.Context(), func(n uint32, ev trips.Event) error {
		seq[ev.Trip.ID]++
		checkEqual(w, "number", n, seq[ev.Trip.ID])

		for _, who := range []trips.Actor{trips.Rider(ev.Trip.Rider), trips.Driver(ev.Trip.Driver)} {
			if who.ID == "" {
				continue
			}
			if other, busy := has[who]; busy && other != ev.Trip.ID {
				w.Errorf("%s has %s and %s at once", who, other, ev.Trip.ID)
			}
			has[who] = ev.Trip.ID
			if !ev.Trip.State.IsActive() {
				delete(has, who)
			}
		}
		return nil
	}))

	checkEqual(w, "trips", len(seq), 64)
}

func auditStops(w *world) {
	t := w.completeRide("rider", "driver")
	w.sendChat(t, trips.Rider("rider"), "one")
	w.sendChat(t, trips.Rider("rider"), "two")
	mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(t)))
	w.requestTrip("rider")

	enough, seen := errors.New("seen enough"), 0
	stop := func() error { seen++; return enough }
	for _, err := range []error{
		w.AuditTrips(w.Context(), func(trips.Trip) error { return stop() }),
		w.AuditEvents(w.Context(), func(uint32, trips.Event) error { return stop() }),
		w.AuditChat(w.Context(), func(chat.Message) error { return stop() }),
		w.AuditCharges(w.Context(), func(payments.Charge) error { return stop() }),
	} {
		if !errors.Is(err, enough) {
			w.Errorf("got %v", err)
		}
	}

	checkEqual(w, "rows seen", seen, 4)
}
