package storetest

import (
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

var audits = []story{
	{"an auditor sees all that is kept", allSeen},
	{"an auditor sees moves of different trips in the order they were made", inOrder},
	{"an auditor sees who had whom in the order it was so", handedOn},
	{"an auditor may stop", auditorStops},
}

func allSeen(w *world) {
	kept, charges := map[trips.TripID]trips.Trip{}, map[trips.TripID]payments.Charge{}
	for i := range 20 {
		who := fmt.Sprint("p", i%3)
		t := w.ride(trips.RiderID(who), trips.DriverID(who))
		w.say(t, trips.Rider(t.Rider), "thanks")
		w.say(t, trips.Driver(t.Driver), "bye")
		charges[t.ID] = try[payments.Charge](w)(w.Settle(w.Context(), w.charge(t)))
		kept[t.ID] = t
	}
	open := w.request("waiting")
	kept[open.ID] = open
	w.read(w.AuditTrips(w.Context(), func(t trips.Trip) error {
		equal(w, "trip", t, kept[t.ID])
		delete(kept, t.ID)
		return nil
	}))
	equal(w, "trips not seen", len(kept), 0)
	events := map[trips.TripID]uint32{}
	w.read(w.AuditEvents(w.Context(), func(seq uint32, ev trips.Event) error {
		events[ev.Trip.ID]++
		equal(w, "number", seq, events[ev.Trip.ID])
		one := try[[]trips.Event](w)(w.Events(w.Context(), ev.Trip.ID, seq-1))[0]
		equal(w, "event", ev, one)
		return nil
	}))
	equal(w, "trips with events", len(events), 21)
	w.readChat()
	w.read(w.AuditCharges(w.Context(), func(c payments.Charge) error {
		equal(w, "charge", c, charges[c.Trip])
		delete(charges, c.Trip)
		return nil
	}))
	equal(w, "charges not seen", len(charges), 0)
}

func (w *world) readChat() {
	w.Helper()
	var before chat.Message
	n := 0
	w.read(w.AuditChat(w.Context(), func(m chat.Message) error {
		n++
		if m.Trip == before.Trip {
			equal(w, "number", m.Seq, before.Seq+1)
		} else {
			equal(w, "first number", m.Seq, 1)
			if m.Trip < before.Trip {
				w.Errorf("%s after %s", m.Trip, before.Trip)
			}
		}
		equal(w, "message", m, try[[]chat.Message](w)(w.History(w.Context(), m.Trip, m.Seq-1, 1))[0])
		before = m
		return nil
	}))
	equal(w, "messages", n, 40)
}

// read ends the story when a stream broke.
func (w *world) read(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func inOrder(w *world) {
	var want []trips.Event
	made := func(ev trips.Event, err error) trips.Trip {
		w.Helper()
		if err == nil {
			ev, err = w.Apply(w.Context(), keyed(w.id("command"), ev))
		}
		want = append(want, try[trips.Event](w)(ev, err))
		return ev.Trip
	}
	long := made(w.asked("patient"), nil)
	for i := range 5 {
		short := made(w.asked("hasty"), nil)
		if i == 2 {
			long = made(long.Reserve("driver", w.tick()))
		}
		made(short.Cancel(trips.Rider("hasty"), "", w.tick()))
	}
	made(long.Arrive(trips.Driver("driver"), w.tick()))
	var got []trips.Event
	w.read(w.AuditEvents(w.Context(), func(_ uint32, ev trips.Event) error {
		got = append(got, ev)
		return nil
	}))
	same(w, "events", got, want)
}

// handedOn lets four drivers fight over riders' trips, each free again at once, and replays who had whom: an order of
// events in which a driver begins before the last trip ended would show two trips at once.
func handedOn(w *world) {
	crowd(8, func(i int) {
		rider := trips.RiderID(fmt.Sprint("rider-", i))
		for j := range 8 {
			t := w.request(rider)
			driver := trips.DriverID(fmt.Sprint("driver-", (i+j)%4))
			ev, err := t.Reserve(driver, w.tick())
			if err == nil {
				ev, err = w.Apply(w.Context(), keyed(w.id("accept"), ev))
			}
			switch {
			case err == nil:
				w.commit(ev.Trip.Cancel(trips.Driver(driver), "next", w.tick()))
			case errors.Is(err, trips.ErrTaken):
				w.commit(t.Cancel(trips.Rider(rider), "next", w.tick()))
			default:
				w.Error(err)
			}
		}
	})
	has, seq := map[trips.Actor]trips.TripID{}, map[trips.TripID]uint32{}
	w.read(w.AuditEvents(w.Context(), func(n uint32, ev trips.Event) error {
		seq[ev.Trip.ID]++
		equal(w, "number", n, seq[ev.Trip.ID])
		for _, who := range []trips.Actor{trips.Rider(ev.Trip.Rider), trips.Driver(ev.Trip.Driver)} {
			if who.ID == "" {
				continue
			}
			if other, busy := has[who]; busy && other != ev.Trip.ID {
				w.Errorf("%s has %s and %s at once", who, other, ev.Trip.ID)
			}
			has[who] = ev.Trip.ID
			if !ev.Trip.State.Active() {
				delete(has, who)
			}
		}
		return nil
	}))
	equal(w, "trips", len(seq), 64)
}

func auditorStops(w *world) {
	t := w.ride("rider", "driver")
	w.say(t, trips.Rider("rider"), "one")
	w.say(t, trips.Rider("rider"), "two")
	try[payments.Charge](w)(w.Settle(w.Context(), w.charge(t)))
	w.request("rider")
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
	equal(w, "rows seen", seen, 4)
}
