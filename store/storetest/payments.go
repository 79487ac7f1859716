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

var paymentStories = []story{
	{"a completed trip is settled once, with one receipt", settledOnce},
	{"sixteen settlements of one trip at once leave one charge", settledAtOnce},
	{"a trip that is not completed cannot be settled", notCompleted},
	{"completed trips without a charge come oldest first", unchargedTrips},
	{"receipts come newest first, and only one's own", riderReceipts},
}

func (w *world) newCharge(t trips.Trip) payments.Charge {
	return payments.Charge{Trip: t.ID, Rider: t.Rider, Reference: payments.ChargeReference(t.ID), Amount: t.Quote.Fare,
		ProviderID: w.nextID("provider"), At: w.nextTime()}
}

func settledOnce(w *world) {
	t := w.completeRide("rider", "driver")
	if _, err := w.Charge(w.Context(), t.ID); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("a charge before settlement: %v", err)
	}

	asked := w.newCharge(t)
	first := mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), asked))
	if gap := asked.At.Sub(first.At).Abs(); gap >= time.Microsecond || first.At.Location() != time.UTC {
		w.Errorf("charged at %v, kept as %v", asked.At, first.At)
	}

	asked.At = first.At
	checkEqual(w, "charge", first, asked)
	checkEqual(w, "again", mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(t))), first)
	checkEqual(w, "charge", mustReturn[payments.Charge](w)(w.Charge(w.Context(), t.ID)), first)
	checkEqual(w, "the trip", mustReturn[trips.Trip](w)(w.Trip(w.Context(), t.ID)), t)

	told := w.awaitPending(6)
	checkEqual(w, "outbox messages", len(told), 6)

	n := told[5]
	var c payments.Charge
	if err := json.Unmarshal(n.Payload, &c); err != nil {
		w.Fatal(err)
	}

	checkEqual(w, "told", c, first)
	checkEqual(w, "topic", n.Topic, trips.TopicReceipt)
	checkEqual(w, "trip", n.Trip, t.ID)
	checkEqual(w, "region", n.Region, t.Region)
	checkEqual(w, "kind", n.Kind, "")
}

func settledAtOnce(w *world) {
	const n = 16
	t := w.completeRide("rider", "driver")

	var mu sync.Mutex
	seen := map[payments.Charge]int{}
	runAtOnce(n, func(int) {
		c, err := w.RecordCharge(w.Context(), w.newCharge(t))
		if err != nil {
			w.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		seen[c]++
	})

	checkEqual(w, "different charges", len(seen), 1)
	checkEqual(w, "answers", seen[mustReturn[payments.Charge](w)(w.Charge(w.Context(), t.ID))], n)
	checkEqual(w, "outbox messages", len(w.awaitPending(6)), 6)
}

func notCompleted(w *world) {
	ghost := w.newRequest("ghost").Trip
	cancelled := w.commitMove(w.requestTrip("c").Cancel(trips.Rider("c"), "", w.nextTime()))
	for _, x := range []struct {
		t    trips.Trip
		want error
	}{
		{w.requestTrip("a"), trips.ErrBadMove}, {w.rideToOnTrip("b", "b"), trips.ErrBadMove}, {cancelled, trips.ErrBadMove},
		{ghost, trips.ErrNotFound},
	} {
		if _, err := w.RecordCharge(w.Context(), w.newCharge(x.t)); !errors.Is(err, x.want) {
			w.Errorf("a trip that is %s: %v", x.t.State, err)
		}
		if _, err := w.Charge(w.Context(), x.t.ID); !errors.Is(err, trips.ErrNotFound) {
			w.Errorf("a charge of a trip that is %s: %v", x.t.State, err)
		}
	}
}

func unchargedTrips(w *world) {
	w.rideToOnTrip("x", "x")
	w.commitMove(w.requestTrip("c").Cancel(trips.Rider("c"), "", w.nextTime()))

	var all []trips.Trip
	for i := range 5 {
		who := fmt.Sprint(i)
		all = append(all, w.completeRide(trips.RiderID(who), trips.DriverID(who)))
	}

	look := func(before time.Time, limit int, want []trips.Trip) {
		w.Helper()
		checkSame(w, "uncharged", mustReturn[[]trips.Trip](w)(w.UnchargedTrips(w.Context(), before, limit)), want)
	}

	for i := range all {
		look(all[i].EndedAt, 10, all[:i])
		look(w.nextTime(), i, all[:i])
	}

	mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(all[1])))
	mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(all[4])))
	look(w.nextTime(), 10, slices.Concat(all[:1], all[2:4]))
}

func riderReceipts(w *world) {
	var want []payments.Charge
	for range 4 {
		want = append(want, mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(w.completeRide("rider", "driver")))))
		mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(w.completeRide("another rider", "another driver"))))
	}
	slices.Reverse(want)

	for limit := range 6 {
		got := mustReturn[[]payments.Charge](w)(w.RiderCharges(w.Context(), "rider", limit))
		checkSame(w, "receipts", got, want[:min(limit, 4)])
	}

	checkEqual(w, "receipts of an unknown rider", len(mustReturn[[]payments.Charge](w)(w.RiderCharges(w.Context(), "unknown", 10))), 0)
}
