package payments_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// losesReply is a provider that takes the money but loses the first reply.
type losesReply struct {
	payments.Provider // refunds are not used here

	taken map[string]payments.Payment
}

func (p losesReply) Charge(_ context.Context, o payments.ChargeOrder) (payments.Payment, error) {
	fmt.Println("charge", o.Reference, o.Amount)
	p.taken[o.Reference] = payments.Payment{ID: "7", Reference: o.Reference, Amount: o.Amount}
	return payments.Payment{}, context.DeadlineExceeded
}

func (p losesReply) VerifyCharge(_ context.Context, reference string) (payments.Payment, error) {
	fmt.Println("verify", reference)
	if taken, ok := p.taken[reference]; ok {
		return taken, nil
	}
	return payments.Payment{}, payments.ErrUnknownReference
}

// After a lost reply the settler asks what became of the charge. It does not
// charge again.
func ExampleSettler_SettleTrip() {
	ended := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := &memoryStore{trips: map[trips.TripID]trips.Trip{"1": completedTrip("1", 262_000)},
		charges: map[trips.TripID]payments.Charge{}, changed: make(chan struct{}, 1)}

	settler := &payments.Settler{Trips: store, Charges: store, Backoff: time.Millisecond, FreshFor: time.Hour * 24 * 365,
		Provider: losesReply{taken: map[string]payments.Payment{}},
		Now:      func() time.Time { return ended }}

	for range 2 {
		charge, err := settler.SettleTrip(context.Background(), "1")
		fmt.Println("charged", charge.Amount, err)
	}

	// Output:
	// charge trip-1 2620.00 NGN
	// verify trip-1
	// charged 2620.00 NGN <nil>
	// charged 2620.00 NGN <nil>
}
