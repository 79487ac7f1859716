// Package payments minds whether a trip was paid, and paid back when it should
// not have been: the settlement worker, the provider client, the provider's
// webhooks, the reconciler.
package payments

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Reference is the idempotency reference of a trip's charge: the provider takes
// the money once per reference.
func Reference(id trips.TripID) string { return "trip-" + string(id) }

// Charge is money taken for a completed trip.
type Charge struct {
	Trip       trips.TripID  `json:"trip"`
	Rider      trips.RiderID `json:"rider"`
	Reference  string        `json:"reference"`
	Amount     trips.Money   `json:"amount"`
	ProviderID string        `json:"provider_id"`
	At         time.Time     `json:"at"`
	// Refunded is what the rider got back; zero when nothing was, or not yet.
	// Settle does not look at it.
	Refunded trips.Money `json:"refunded,omitzero"`
}

// Store keeps charges. Methods may block on I/O and may be called from many
// goroutines.
type Store interface {
	// Settle records that the trip was paid and adds a receipt to the outbox,
	// in one transaction. Again for the same trip it changes nothing and
	// returns the first charge. It refuses a trip that is not completed
	// (trips.ErrBadMove) or does not exist (trips.ErrNotFound).
	Settle(ctx context.Context, c Charge) (Charge, error)
	// Charge returns a trip's charge, or trips.ErrNotFound.
	Charge(ctx context.Context, id trips.TripID) (Charge, error)
	// Uncharged returns trips completed before a time that have no charge,
	// oldest first.
	Uncharged(ctx context.Context, before time.Time, limit int) ([]trips.Trip, error)
	// Receipts returns a rider's charges, newest first.
	Receipts(ctx context.Context, rider trips.RiderID, limit int) ([]Charge, error)
}
