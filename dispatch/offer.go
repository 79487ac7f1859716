// Package dispatch finds a driver for every open trip: it chooses, offers,
// waits, and wins or asks the next one.
package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Offer asks one driver to take one trip. It travels between nodes as JSON.
type Offer struct {
	ID     string         `json:"id"`
	Trip   trips.Trip     `json:"trip"`
	Driver trips.DriverID `json:"driver"`
	// the node that dispatches the trip, which is told of a decline
	Node string `json:"node"`
	// grows with each new dispatcher of a trip: the older one's offers are void
	Epoch     uint64    `json:"epoch"`
	ExpiresAt time.Time `json:"expires_at"`
	Metres    float64   `json:"metres"` // to the pickup, by air
	// to the pickup, by road; 0 when nobody could say
	Pickup time.Duration `json:"pickup_ns"`
}

// Why an offer went away without being taken.
const (
	GoneExpired   = "expired"   // the driver did not answer in time
	GoneTaken     = "taken"     // another driver has the trip
	GoneCancelled = "cancelled" // the trip ended
	// the dispatcher stopped; another one will ask again
	GoneWithdrawn = "withdrawn"
)

// Why a trip expired.
const (
	ReasonNobodyNear    = "no_driver_nearby"
	ReasonNobodyAccepts = "no_driver_accepted"
)

var (
	// ErrUnreachable is what a Courier says when the driver's phone cannot be
	// reached.
	ErrUnreachable = errors.New("the driver cannot be reached")
	// ErrOfferGone is what an Inbox says about an offer that expired, was
	// withdrawn or was never made to the driver.
	ErrOfferGone = errors.New("this offer is gone: wait for the next one")
)

// Courier carries offers to the phones of drivers, on this node or another.
// Both methods may block until ctx ends; an offer that gets lost on the way is
// healed by its expiry.
type Courier interface {
	Offer(ctx context.Context, o Offer) error
	Withdraw(ctx context.Context, o Offer, reason string)
}
