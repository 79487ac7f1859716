package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

var refundStories = []story{
	{"a charge goes back once and whole, and its receipt says so", refundedOnce},
	{"sixteen who ask for one refund at once get the same", refundedAtOnce},
	{"what was never charged cannot be given back", notCharged},
	{"a refund that failed is asked for again, and one that is done stays done", refundAskedAgain},
	{"refunds without an end come oldest first", openRefunds},
	{"an auditor sees every refund", refundsSeen},
}

// paidRide is a whole ride that was paid.
func (w *world) paidRide(who string) payments.Charge {
	w.Helper()
	return mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(w.completeRide(trips.RiderID(who), trips.DriverID(who)))))
}

func (w *world) askRefund(c payments.Charge) payments.Refund {
	w.Helper()
	return mustReturn[payments.Refund](w)(w.RequestRefund(w.Context(), c.Trip, "completed by mistake", w.nextTime()))
}

func (w *world) endRefund(r payments.Refund, state payments.RefundState) payments.Refund {
	w.Helper()
	return mustReturn[payments.Refund](w)(w.FinishRefund(w.Context(), r.Trip, state, w.nextID("refund"), w.nextTime()))
}

func refundedOnce(w *world) {
	c := w.paidRide("rider")
	if _, err := w.Refund(w.Context(), c.Trip); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("a refund before anyone asked: %v", err)
	}

	told := len(w.awaitPending(6))
	asked := w.askRefund(c)
	checkEqual(w, "reference", asked.Reference, payments.RefundReference(c.Trip))
	checkEqual(w, "amount", asked.Amount, c.Amount)
	checkEqual(w, "reason", asked.Reason, "completed by mistake")
	checkEqual(w, "state", asked.State, payments.RefundRequested)
	checkEqual(w, "end", asked.EndedAt, time.Time{})
	checkEqual(w, "again", mustReturn[payments.Refund](w)(w.RequestRefund(w.Context(), c.Trip, "other", w.nextTime())), asked)
	checkEqual(w, "kept", mustReturn[payments.Refund](w)(w.Refund(w.Context(), c.Trip)), asked)
	checkEqual(w, "charge while asked", mustReturn[payments.Charge](w)(w.Charge(w.Context(), c.Trip)), c)

	done := w.endRefund(asked, payments.RefundDone)
	if done.State != payments.RefundDone || done.ProviderID == "" || !done.EndedAt.After(done.RequestedAt) ||
		done.EndedAt.Location() != time.UTC || done.RequestedAt != asked.RequestedAt {
		w.Errorf("done: %+v", done)
	}

	c.Refunded = c.Amount
	checkEqual(w, "charge", mustReturn[payments.Charge](w)(w.Charge(w.Context(), c.Trip)), c)
	checkSame(w, "receipts", mustReturn[[]payments.Charge](w)(w.RiderCharges(w.Context(), c.Rider, 10)), []payments.Charge{c})
	checkEqual(w, "notices", len(w.awaitPending(6)), told)
}

func refundedAtOnce(w *world) {
	const n = 16
	c := w.paidRide("rider")
	var mu sync.Mutex
	asked, ended := map[payments.Refund]int{}, map[payments.Refund]int{}
	note := func(seen map[payments.Refund]int, r payments.Refund, err error) {
		if err != nil {
			w.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		seen[r]++
	}

	runAtOnce(n, func(i int) {
		r, err := w.RequestRefund(w.Context(), c.Trip, fmt.Sprint("reason ", i), w.nextTime())
		note(asked, r, err)
	})

	runAtOnce(n, func(i int) {
		r, err := w.FinishRefund(w.Context(), c.Trip, payments.RefundDone, fmt.Sprint("provider ", i), w.nextTime())
		note(ended, r, err)
	})
	checkEqual(w, "different refunds", len(asked), 1)
	checkEqual(w, "different ends", len(ended), 1)
	checkEqual(w, "answers", ended[mustReturn[payments.Refund](w)(w.Refund(w.Context(), c.Trip))], n)
}

func notCharged(w *world) {
	cancelled := w.commitMove(w.requestTrip("c").Cancel(trips.Rider("c"), "", w.nextTime()))
	for _, t := range []trips.Trip{w.completeRide("a", "a"), cancelled, w.newRequest("ghost").Trip} {
		if r, err := w.RequestRefund(w.Context(), t.ID, "because", w.nextTime()); !errors.Is(err, trips.ErrNotFound) {
			w.Errorf("a trip that is %s: %+v, %v", t.State, r, err)
		}
		if r, err := w.FinishRefund(w.Context(), t.ID, payments.RefundDone, "p", w.nextTime()); !errors.Is(err, trips.ErrNotFound) {
			w.Errorf("the end of a refund that was never requested: %+v, %v", r, err)
		}
	}
}

func refundAskedAgain(w *world) {
	c := w.paidRide("rider")
	failed := w.endRefund(w.askRefund(c), payments.RefundFailed)
	checkEqual(w, "state", failed.State, payments.RefundFailed)
	checkEqual(w, "charge", mustReturn[payments.Charge](w)(w.Charge(w.Context(), c.Trip)), c)

	again := mustReturn[payments.Refund](w)(w.RequestRefund(w.Context(), c.Trip, "once more", w.nextTime()))
	if again.State != payments.RefundRequested || again.Reason != "once more" || !again.EndedAt.IsZero() ||
		again.ProviderID != failed.ProviderID || !again.RequestedAt.After(failed.RequestedAt) || again.Amount != c.Amount {
		w.Errorf("asked again: %+v", again)
	}

	done := w.endRefund(again, payments.RefundDone)
	checkEqual(w, "after its end", w.endRefund(done, payments.RefundFailed), done)
	checkEqual(w, "asked after its end", w.askRefund(c), done)
}

func openRefunds(w *world) {
	var all []payments.Refund
	for i := range 5 {
		all = append(all, w.askRefund(w.paidRide(fmt.Sprint(i))))
	}
	look := func(before time.Time, limit int, want []payments.Refund) {
		w.Helper()
		checkSame(w, "open", mustReturn[[]payments.Refund](w)(w.OpenRefunds(w.Context(), before, limit)), want)
	}

	for i := range all {
		look(all[i].RequestedAt, 10, all[:i])
		look(w.nextTime(), i, all[:i])
	}

	w.endRefund(all[0], payments.RefundDone)
	w.endRefund(all[3], payments.RefundFailed)
	look(w.nextTime(), 10, []payments.Refund{all[1], all[2], all[4]})
}

func refundsSeen(w *world) {
	want := map[trips.TripID]payments.Refund{}
	for i, state := range []payments.RefundState{payments.RefundDone, payments.RefundFailed, payments.RefundRequested} {
		r := w.askRefund(w.paidRide(fmt.Sprint(i)))
		if state != payments.RefundRequested {
			r = w.endRefund(r, state)
		}
		want[r.Trip] = r
	}

	w.checkNoError(w.AuditRefunds(w.Context(), func(r payments.Refund) error {
		checkEqual(w, "refund", r, want[r.Trip])
		delete(want, r.Trip)
		return nil
	}))

	checkEqual(w, "refunds not seen", len(want), 0)
	enough, seen := errors.New("seen enough"), 0
	err := w.AuditRefunds(w.Context(), func(payments.Refund) error { seen++; return enough })
	if !errors.Is(err, enough) || seen != 1 {
		w.Errorf("got %v after %d", err, seen)
	}
}
