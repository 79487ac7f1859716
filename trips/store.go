package trips

import (
	"context"
	"errors"
	"time"
)

// IdempotencyKey makes a command idempotent: one id of one actor has one
// effect. Fingerprint is a short description of what was asked; a key that
// comes back with another Fingerprint is refused with ErrKeyReused.
type IdempotencyKey struct {
	Actor       Actor
	ID          string
	Fingerprint string
}

// CheckText returns ErrNotText if no database keeps the key.
func (k IdempotencyKey) CheckText() error { return CheckText(k.Actor.ID, k.ID, k.Fingerprint) }

// Command is one command's effect on one trip, ready to be committed.
type Command struct {
	Key   IdempotencyKey
	Event Event
}

// CheckText returns ErrNotText if no database keeps the command.
func (m Command) CheckText() error {
	t := &m.Event.Trip
	return errors.Join(m.Key.CheckText(), CheckText(string(t.ID), string(t.Rider), string(t.Driver), t.Reason))
}

// Store keeps trips. Every method may block on I/O, may be called from many
// goroutines, and returns as soon as ctx ends. What a cancelled call had begun
// may still have happened; RecordedEvent tells.
//
// Text that is not UTF-8 or has a NUL is known to no engine: who looks it up gets
// ErrNotFound or an empty list, who writes it ErrNotText. The other contracts of a
// store keep to this too.
type Store interface {
	// Apply commits a command in one transaction: it inserts the trip (Version
	// 1) or updates it where its version is Event.Trip.Version-1, appends the
	// event, adds an outbox row, and records the key. It returns the committed
	// event. If the key was recorded before, it changes nothing and returns the
	// event recorded then. After an ambiguous commit Apply reads the key back
	// before it returns.
	//
	// Errors: ErrConflict (the version moved on), ErrTaken (the driver has an
	// active trip), ErrRiderBusy, ErrKeyReused, ErrNotFound, ErrAbandoned,
	// ErrNotText.
	Apply(ctx context.Context, m Command) (Event, error)

	// Trip returns a trip, or ErrNotFound.
	Trip(ctx context.Context, id TripID) (Trip, error)
	// RecordedEvent returns the event that a key led to. Errors: ErrNotFound if
	// the key is new, ErrKeyReused if it was recorded with another print,
	// ErrAbandoned if the command was given up, with any print.
	RecordedEvent(ctx context.Context, k IdempotencyKey) (Event, error)
	// Abandon gives up a command that was not done: from then on Apply with its
	// key returns ErrAbandoned, even for a call that is under way, so that the
	// caller can be refused for good. It returns ErrAbandoned, or the event
	// that the key led to before.
	Abandon(ctx context.Context, k IdempotencyKey) (Event, error)
	// Events returns the trip's events numbered above after, in order. An
	// unknown trip has none.
	Events(ctx context.Context, id TripID, after uint32) ([]Event, error)
	// ActiveTrip returns the actor's active trip, or ErrNotFound.
	ActiveTrip(ctx context.Context, a Actor) (Trip, error)
	// OpenTrips returns trips that wait for a driver, oldest first, at most
	// limit.
	OpenTrips(ctx context.Context, limit int) ([]Trip, error)
	// TripsWithDriver returns all active trips that have a driver. A node that
	// starts learns from them which drivers are busy.
	TripsWithDriver(ctx context.Context) ([]Trip, error)
	// ListTrips returns the actor's trips requested before a time, newest
	// first, at most limit.
	ListTrips(ctx context.Context, a Actor, before time.Time, limit int) ([]Trip, error)
}
