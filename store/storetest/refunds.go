package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

var refunded = []story{
	{"a charge goes back once and whole, and its receipt says so", refundedOnce},
	{"sixteen who ask for one refund at once get the same", refundedAtOnce},
	{"what was never charged cannot be given back", notCharged},
	{"a refund that failed is asked for again, and one that is done stays done", askedAgain},
	{"refunds without an end come oldest first", openRefunds},
	{"an auditor sees every refund", refundsSeen},
}

// settled is a whole ride that was paid.
func (w *world) settled(who string) payments.Charge {
	w.Helper()
	return try[payments.Charge](w)(w.Settle(w.Context(), w.charge(w.ride(trips.RiderID(who), trips.DriverID(who)))))
}

func (w *world) ask(c payments.Charge) payments.Refund {
	w.Helper()
	return try[payments.Refund](w)(w.AskRefund(w.Context(), c.Trip, "completed by mistake", w.tick()))
}

func (w *world) end(r payments.Refund, state payments.RefundState) payments.Refund {
	w.Helper()
	return try[payments.Refund](w)(w.EndRefund(w.Context(), r.Trip, state, w.id("refund"), w.tick()))
}

func refundedOnce(w *world) {
	c := w.settled("rider")
	if _, err := w.Refund(w.Context(), c.Trip); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("a refund before anyone asked: %v", err)
	}
	told := len(w.pending(6))
	asked := w.ask(c)
	equal(w, "reference", asked.Reference, payments.RefundReference(c.Trip))
	equal(w, "amount", asked.Amount, c.Amount)
	equal(w, "reason", asked.Reason, "completed by mistake")
	equal(w, "state", asked.State, payments.RefundAsked)
	equal(w, "end", asked.EndedAt, time.Time{})
	equal(w, "again", try[payments.Refund](w)(w.AskRefund(w.Context(), c.Trip, "other", w.tick())), asked)
	equal(w, "kept", try[payments.Refund](w)(w.Refund(w.Context(), c.Trip)), asked)
	equal(w, "charge while asked", try[payments.Charge](w)(w.Charge(w.Context(), c.Trip)), c)

	done := w.end(asked, payments.RefundDone)
	if done.State != payments.RefundDone || done.ProviderID == "" || !done.EndedAt.After(done.AskedAt) ||
		done.EndedAt.Location() != time.UTC || done.AskedAt != asked.AskedAt {
		w.Errorf("done: %+v", done)
	}
	c.Refunded = c.Amount
	equal(w, "charge", try[payments.Charge](w)(w.Charge(w.Context(), c.Trip)), c)
	same(w, "receipts", try[[]payments.Charge](w)(w.Receipts(w.Context(), c.Rider, 10)), []payments.Charge{c})
	equal(w, "notices", len(w.pending(6)), told)
}

func refundedAtOnce(w *world) {
	const n = 16
	c := w.settled("rider")
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
	crowd(n, func(i int) {
		r, err := w.AskRefund(w.Context(), c.Trip, fmt.Sprint("reason ", i), w.tick())
		note(asked, r, err)
	})
	crowd(n, func(i int) {
		r, err := w.EndRefund(w.Context(), c.Trip, payments.RefundDone, fmt.Sprint("provider ", i), w.tick())
		note(ended, r, err)
	})
	equal(w, "different refunds", len(asked), 1)
	equal(w, "different ends", len(ended), 1)
	equal(w, "answers", ended[try[payments.Refund](w)(w.Refund(w.Context(), c.Trip))], n)
}

func notCharged(w *world) {
	cancelled := w.commit(w.request("c").Cancel(trips.Rider("c"), "", w.tick()))
	for _, t := range []trips.Trip{w.ride("a", "a"), cancelled, w.asked("ghost").Trip} {
		if r, err := w.AskRefund(w.Context(), t.ID, "because", w.tick()); !errors.Is(err, trips.ErrNotFound) {
			w.Errorf("a trip that is %s: %+v, %v", t.State, r, err)
		}
		if r, err := w.EndRefund(w.Context(), t.ID, payments.RefundDone, "p", w.tick()); !errors.Is(err, trips.ErrNotFound) {
			w.Errorf("the end of a refund nobody asked for: %+v, %v", r, err)
		}
	}
}

func askedAgain(w *world) {
	c := w.settled("rider")
	failed := w.end(w.ask(c), payments.RefundFailed)
	equal(w, "state", failed.State, payments.RefundFailed)
	equal(w, "charge", try[payments.Charge](w)(w.Charge(w.Context(), c.Trip)), c)
	again := try[payments.Refund](w)(w.AskRefund(w.Context(), c.Trip, "once more", w.tick()))
	if again.State != payments.RefundAsked || again.Reason != "once more" || !again.EndedAt.IsZero() ||
		again.ProviderID != failed.ProviderID || !again.AskedAt.After(failed.AskedAt) || again.Amount != c.Amount {
		w.Errorf("asked again: %+v", again)
	}
	done := w.end(again, payments.RefundDone)
	equal(w, "after its end", w.end(done, payments.RefundFailed), done)
	equal(w, "asked after its end", w.ask(c), done)
}

func openRefunds(w *world) {
	var all []payments.Refund
	for i := range 5 {
		all = append(all, w.ask(w.settled(fmt.Sprint(i))))
	}
	look := func(before time.Time, limit int, want []payments.Refund) {
		w.Helper()
		same(w, "open", try[[]payments.Refund](w)(w.OpenRefunds(w.Context(), before, limit)), want)
	}
	for i := range all {
		look(all[i].AskedAt, 10, all[:i])
		look(w.tick(), i, all[:i])
	}
	w.end(all[0], payments.RefundDone)
	w.end(all[3], payments.RefundFailed)
	look(w.tick(), 10, []payments.Refund{all[1], all[2], all[4]})
}

func refundsSeen(w *world) {
	want := map[trips.TripID]payments.Refund{}
	for i, state := range []payments.RefundState{payments.RefundDone, payments.RefundFailed, payments.RefundAsked} {
		r := w.ask(w.settled(fmt.Sprint(i)))
		if state != payments.RefundAsked {
			r = w.end(r, state)
		}
		want[r.Trip] = r
	}
	w.read(w.AuditRefunds(w.Context(), func(r payments.Refund) error {
		equal(w, "refund", r, want[r.Trip])
		delete(want, r.Trip)
		return nil
	}))
	equal(w, "refunds not seen", len(want), 0)
	enough, seen := errors.New("seen enough"), 0
	err := w.AuditRefunds(w.Context(), func(payments.Refund) error { seen++; return enough })
	if !errors.Is(err, enough) || seen != 1 {
		w.Errorf("got %v after %d", err, seen)
	}
}
