// Package dispatch finds a driver for every open trip. A search chooses a
// driver, makes an offer, waits for the answer, and goes on to the next driver
// until one accepts or the trip expires. Trips that are requested together are
// matched together.
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

	// Node dispatches the trip. It is told of a decline.
	Node string `json:"node"`

	// Epoch grows with each new dispatcher of a trip. It voids the offers of
	// the older one.
	Epoch     uint64    `json:"epoch"`
	ExpiresAt time.Time `json:"expires_at"`
	Metres    float64   `json:"metres"` // To the pickup, by air.

	// Pickup is the time to the pickup by road; 0 when it is unknown.
	Pickup time.Duration `json:"pickup_ns"`

	// Nth counts the trip's offers by this dispatcher from 1. Offers of earlier
	// builds have 0.
	Nth int `json:"nth,omitempty"`
}

// HopKey names the hop that sends the offer; see tracing.Hop.
func (o Offer) HopKey() string { return "offer:" + o.ID }

// The reasons why an offer ends without being taken.
const (
	GoneExpired   = "expired"   // The driver did not answer in time.
	GoneTaken     = "taken"     // Another driver has the trip.
	GoneCancelled = "cancelled" // The trip ended.
	GoneWithdrawn = "withdrawn" // The dispatcher stopped; another will ask.
)

// The reasons why a trip expires.
const (
	ReasonNoDriverNearby   = "no_driver_nearby"
	ReasonNoDriverAccepted = "no_driver_accepted"
)

var (
	// ErrUnreachable is what an OfferTransport returns when it cannot reach the
	// driver's phone.
	ErrUnreachable = errors.New("the driver cannot be reached")
	// ErrBusy is what a driver's node answers to another node's offer while the
	// driver is held by an offer, on a trip or off duty.
	ErrBusy = errors.New("the driver is not free")
	// ErrOfferGone is what an Inbox returns for an offer that expired, was
	// withdrawn or was never made to the driver.
	ErrOfferGone = errors.New("this offer is gone: wait for the next one")
)

// OfferTransport carries offers to the phones of drivers, on this node or
// another. Many searches call it concurrently. Both methods may block until ctx
// ends. An offer that gets lost on the way expires.
type OfferTransport interface {
	SendOffer(ctx context.Context, o Offer) error
	WithdrawOffer(ctx context.Context, o Offer, reason string)
}
