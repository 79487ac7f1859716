package payments_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/trips"
)

// newChargedFixture is a fixture whose trip "done" was charged without faults,
// and whose provider has faults from now on.
func newChargedFixture(t *testing.T, f provider.Faults) *fixture {
	t.Helper()
	d := newFixture(t, f)
	if _, err := d.ledger.Append(provider.Entry{Reference: payments.ChargeReference("done"), Status: "success",
		Amount: 123_400, Currency: "NGN"}); err != nil {
		t.Fatal(err)
	}

	d.Now = func() time.Time { return ended.Add(time.Hour) } // verifies first
	if err := d.HandleJob(t.Context(), "done", nil); err != nil {
		t.Fatal(err)
	}
	return d
}

// checkRefundedOnce checks that the fare went back exactly once, at the
// provider and in the store.
func (d *fixture) checkRefundedOnce(t *testing.T) {
	t.Helper()
	r, err := d.memoryStore.Refund(t.Context(), "done")
	if err != nil || r.State != payments.RefundDone || r.Amount.Minor != 123_400 || r.ProviderID == "" {
		t.Errorf("refund %+v, %v", r, err)
	}

	var back int64
	for _, e := range d.ledger.Entries() {
		if e.Kind == provider.KindRefund && e.Status == "processed" {
			back += e.Amount
		}
	}

	if back != 123_400 {
		t.Errorf("%d went back; ledger %+v", back, d.ledger.Entries())
	}
}

func TestAChargeGoesBackOnceHoweverTheProviderMisbehaves(t *testing.T) {
	for name, f := range map[string]provider.Faults{
		"well":       {},
		"lost reply": {LoseReply: 1},
		"500 after":  {Error500: 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := newChargedFixture(t, f)
			for range 3 {
				r, err := d.Settler.RefundTrip(t.Context(), "done", "completed by mistake")
				if err != nil || r.State != payments.RefundDone {
					t.Fatalf("%+v, %v", r, err)
				}
				if err := d.HandleJob(t.Context(), "done", nil); err != nil {
					t.Fatal(err)
				}
			}

			d.checkRefundedOnce(t)
		})
	}
}

func TestSixteenOperatorsGiveAChargeBackOnce(t *testing.T) {
	d := newChargedFixture(t, provider.Faults{LoseReply: .3, Error500: .3, Seed: 7})
	d.MaxTries = 10

	var crowd sync.WaitGroup
	for range 16 {
		crowd.Go(func() {
			if _, err := d.Settler.RefundTrip(t.Context(), "done", "completed by mistake"); err != nil {
				t.Error(err)
			}
		})
	}

	crowd.Wait()
	d.checkRefundedOnce(t)
}

func TestARefundThatWasOnlyRecordedIsFinishedByItsJob(t *testing.T) {
	d, q := newChargedFixture(t, provider.Faults{}), &recordingQueue{}
	if _, err := d.RequestRefund(t.Context(), "done", "by mistake", d.Now()); err != nil {
		t.Fatal(err)
	} // and here the operator's machine dies

	r := &payments.Reconciler{Charges: d.memoryStore, Refunds: d.memoryStore, Queue: q, Stream: "settlements", Grace: time.Minute,
		Now: func() time.Time { return d.Now().Add(2 * time.Minute) }, Log: slog.New(slog.DiscardHandler)}
	if n, err := r.EnqueueDue(t.Context()); err != nil || n != 1 || q.jobs[0] != "done" {
		t.Fatalf("queued %d %v, %v", n, q.jobs, err)
	}

	for range 2 { // asks, and hears that it is queued; asks what became of it
		if err := d.HandleJob(t.Context(), q.jobs[0], nil); err != nil {
			t.Fatal(err)
		}
	}

	d.checkRefundedOnce(t)
	if n, err := r.EnqueueDue(t.Context()); err != nil || n != 0 {
		t.Errorf("queued %d again, %v", n, err)
	}
}

func TestWhatWasNeverChargedIsNotGivenBack(t *testing.T) {
	d := newFixture(t, provider.Faults{})
	for _, id := range []trips.TripID{"done", "off", "unknown"} {
		if _, err := d.Settler.RefundTrip(t.Context(), id, "because"); !errors.Is(err, trips.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}

	if _, err := d.Settler.RefundTrip(t.Context(), "done", ""); err == nil {
		t.Error("no reason is a reason")
	}
	if n := len(d.ledger.Entries()); n != 0 {
		t.Errorf("%d entries", n)
	}
}

func TestARefundThatFailsIsSaidAndMayBeAskedForAgain(t *testing.T) {
	d := newChargedFixture(t, provider.Faults{Decline: 1})
	for n := range 2 {
		r, err := d.Settler.RefundTrip(t.Context(), "done", "by mistake")
		if err != nil || r.State != payments.RefundFailed || len(d.ledger.Entries()) != n+2 {
			t.Fatalf("%+v, %v; ledger %+v", r, err, d.ledger.Entries())
		}
	}

	if err := d.HandleJob(t.Context(), "done", nil); err != nil || len(d.ledger.Entries()) != 3 {
		t.Errorf("after nothing was asked again: %v; ledger %+v", err, d.ledger.Entries())
	}
}

func TestAHangingProviderLeavesARefundToBeFinished(t *testing.T) {
	d := newChargedFixture(t, provider.Faults{Hang: 1, HangFor: 30 * time.Second})
	d.Provider.(*payments.HTTPProvider).Timeout = 30 * time.Millisecond
	r, err := d.Settler.RefundTrip(t.Context(), "done", "by mistake")
	if !errors.Is(err, context.DeadlineExceeded) || isPermanent(err) || r.State != payments.RefundRequested {
		t.Errorf("got %+v, %v, want a deadline that leaves hope", r, err)
	}
}

func TestAnAmountGivenBackByHandIsNotTakenForOurs(t *testing.T) {
	d := newChargedFixture(t, provider.Faults{})
	byHand := provider.Entry{Reference: payments.ChargeReference("done"), Amount: 1, Status: "processed"}
	if _, err := d.ledger.Refund(byHand); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Settler.RefundTrip(t.Context(), "done", "by mistake"); !isPermanent(err) {
		t.Errorf("got %v", err)
	}
	if r, _ := d.memoryStore.Refund(t.Context(), "done"); r.State != payments.RefundRequested {
		t.Errorf("refund %+v", r)
	}
}
