package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

var paid = []story{
	{"a completed trip is settled once, with one receipt", settledOnce},
	{"sixteen settlements of one trip at once leave one charge", settledAtOnce},
	{"a trip that is not completed cannot be settled", notCompleted},
	{"completed trips without a charge come oldest first", uncharged},
	{"receipts come newest first, and only one's own", receipts},
}

func (w *world) charge(t trips.Trip) payments.Charge {
	return payments.Charge{Trip: t.ID, Rider: t.Rider, Reference: payments.Reference(t.ID), Amount: t.Quote.Fare,
		ProviderID: w.id("provider"), At: w.tick()}
}

func settledOnce(w *world) {
	t := w.ride("rider", "driver")
	if _, err := w.Charge(w.Context(), t.ID); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("a charge before settlement: %v", err)
	}
	asked := w.charge(t)
	first := try[payments.Charge](w)(w.Settle(w.Context(), asked))
	if gap := asked.At.Sub(first.At).Abs(); gap >= time.Microsecond || first.At.Location() != time.UTC {
		w.Errorf("charged at %v, kept as %v", asked.At, first.At)
	}
	asked.At = first.At
	equal(w, "charge", first, asked)
	equal(w, "again", try[payments.Charge](w)(w.Settle(w.Context(), w.charge(t))), first)
	equal(w, "charge", try[payments.Charge](w)(w.Charge(w.Context(), t.ID)), first)
	equal(w, "the trip", try[trips.Trip](w)(w.Trip(w.Context(), t.ID)), t)

	told := w.pending(6)
	equal(w, "notices", len(told), 6)
	n := told[5]
	var c payments.Charge
	if err := json.Unmarshal(n.Payload, &c); err != nil {
		w.Fatal(err)
	}
	equal(w, "told", c, first)
	equal(w, "topic", n.Topic, trips.TopicReceipt)
	equal(w, "trip", n.Trip, t.ID)
	equal(w, "region", n.Region, t.Region)
	equal(w, "kind", n.Kind, "")
}

func settledAtOnce(w *world) {
	const n = 16
	t := w.ride("rider", "driver")
	var mu sync.Mutex
	seen := map[payments.Charge]int{}
	crowd(n, func(int) {
		c, err := w.Settle(w.Context(), w.charge(t))
		if err != nil {
			w.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		seen[c]++
	})
	equal(w, "different charges", len(seen), 1)
	equal(w, "answers", seen[try[payments.Charge](w)(w.Charge(w.Context(), t.ID))], n)
	equal(w, "notices", len(w.pending(6)), 6)
}

func notCompleted(w *world) {
	ghost := w.asked("ghost").Trip
	cancelled := w.commit(w.request("c").Cancel(trips.Rider("c"), "", w.tick()))
	for _, x := range []struct {
		t    trips.Trip
		want error
	}{
		{w.request("a"), trips.ErrBadMove}, {w.onTrip("b", "b"), trips.ErrBadMove}, {cancelled, trips.ErrBadMove},
		{ghost, trips.ErrNotFound},
	} {
		if _, err := w.Settle(w.Context(), w.charge(x.t)); !errors.Is(err, x.want) {
			w.Errorf("a trip that is %s: %v", x.t.State, err)
		}
		if _, err := w.Charge(w.Context(), x.t.ID); !errors.Is(err, trips.ErrNotFound) {
			w.Errorf("a charge of a trip that is %s: %v", x.t.State, err)
		}
	}
}

func uncharged(w *world) {
	w.onTrip("x", "x")
	w.commit(w.request("c").Cancel(trips.Rider("c"), "", w.tick()))
	var all []trips.Trip
	for i := range 5 {
		who := fmt.Sprint(i)
		all = append(all, w.ride(trips.RiderID(who), trips.DriverID(who)))
	}
	look := func(before time.Time, limit int, want []trips.Trip) {
		w.Helper()
		same(w, "uncharged", try[[]trips.Trip](w)(w.Uncharged(w.Context(), before, limit)), want)
	}
	for i := range all {
		look(all[i].EndedAt, 10, all[:i])
		look(w.tick(), i, all[:i])
	}
	try[payments.Charge](w)(w.Settle(w.Context(), w.charge(all[1])))
	try[payments.Charge](w)(w.Settle(w.Context(), w.charge(all[4])))
	look(w.tick(), 10, slices.Concat(all[:1], all[2:4]))
}

func receipts(w *world) {
	var want []payments.Charge
	for range 4 {
		want = append(want, try[payments.Charge](w)(w.Settle(w.Context(), w.charge(w.ride("rider", "driver")))))
		try[payments.Charge](w)(w.Settle(w.Context(), w.charge(w.ride("another rider", "another driver"))))
	}
	slices.Reverse(want)
	for limit := range 6 {
		got := try[[]payments.Charge](w)(w.Receipts(w.Context(), "rider", limit))
		same(w, "receipts", got, want[:min(limit, 4)])
	}
	equal(w, "receipts of nobody", len(try[[]payments.Charge](w)(w.Receipts(w.Context(), "nobody", 10))), 0)
}
