// Package payments charges completed trips and refunds wrongly completed ones:
// the settlement worker, the provider's client and its webhooks, and the
// reconciler.
package payments

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// ChargeReference returns the idempotency reference of a trip's charge. The
// provider takes the money once per reference.
func ChargeReference(id trips.TripID) string { return "trip-" + string(id) }

// Charge is money taken for a completed trip.
type Charge struct {
	Trip       trips.TripID  `json:"trip"`
	Rider      trips.RiderID `json:"rider"`
	Reference  string        `json:"reference"`
	Amount     trips.Money   `json:"amount"`
	ProviderID string        `json:"provider_id"`
	At         time.Time     `json:"at"`
	// Refunded is what the rider got back; zero when nothing was, or not yet.
	// RecordCharge ignores it.
	Refunded trips.Money `json:"refunded,omitzero"`
}

// Store keeps charges. Its methods may block on I/O and may be called from many
// goroutines.
type Store interface {
	// RecordCharge records that the trip was paid and adds a receipt to the
	// outbox, in one transaction. Called again for the same trip it changes
	// nothing and returns the first charge. Errors: trips.ErrBadMove for a trip
	// that is not completed, trips.ErrNotFound.
	RecordCharge(ctx context.Context, c Charge) (Charge, error)
	// Charge returns a trip's charge, or trips.ErrNotFound.
	Charge(ctx context.Context, id trips.TripID) (Charge, error)
	// UnchargedTrips returns trips completed before a time that have no charge,
	// oldest first, at most limit.
	UnchargedTrips(ctx context.Context, before time.Time, limit int) ([]trips.Trip, error)
	// RiderCharges returns a rider's charges, newest first, at most limit.
	RiderCharges(ctx context.Context, rider trips.RiderID, limit int) ([]Charge, error)
}
