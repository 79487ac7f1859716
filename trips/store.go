package trips

import (
	"context"
	"time"
)

// Key makes a command idempotent: the same actor's same id has one effect.
// Print is a short description of what was asked; a key that comes back with
// another print is refused with ErrKeyReused.
type Key struct {
	Actor Actor
	ID    string
	Print string
}

// Move is one command's effect on one trip, ready to be committed.
type Move struct {
	Key   Key
	Event Event
}

// Store keeps trips. Every method may block on I/O, may be called from many
// goroutines, and returns as soon as ctx ends (what it had begun may still have
// happened; the key tells).
type Store interface {
	// Apply commits the move: in one transaction it inserts the trip
	// (Version 1) or updates it where its version is Event.Trip.Version-1,
	// appends the event, adds an outbox row, and records the key. It returns
	// the committed event; if the key was recorded before, it changes nothing
	// and returns the event recorded then. An ambiguous commit is resolved
	// before Apply returns, by reading the key back. Errors: ErrConflict
	// (version moved on), ErrTaken (the driver has an active trip),
	// ErrRiderBusy, ErrKeyReused, ErrNotFound, ErrVoid.
	Apply(ctx context.Context, m Move) (Event, error)

	// Trip returns a trip, or ErrNotFound.
	Trip(ctx context.Context, id TripID) (Trip, error)
	// Recorded returns the event a key led to, ErrNotFound if the key is new,
	// ErrKeyReused if its print differs, ErrVoid if it was given up, whatever
	// its print.
	Recorded(ctx context.Context, k Key) (Event, error)
	// Void sees to it that a command that was not done never will be, also if
	// it is under way somewhere, so that whoever asks for it can be refused for
	// good: Apply with its key says ErrVoid from then on. It returns ErrVoid,
	// or the event the key led to before.
	Void(ctx context.Context, k Key) (Event, error)
	// Events returns a trip's events numbered above after, in order. An unknown
	// trip has none.
	Events(ctx context.Context, id TripID, after uint32) ([]Event, error)
	// Active returns the actor's active trip, or ErrNotFound.
	Active(ctx context.Context, a Actor) (Trip, error)
	// Open returns trips that wait for a driver, oldest first.
	Open(ctx context.Context, limit int) ([]Trip, error)
	// Driven returns all active trips that have a driver, so that a node that
	// starts knows who is busy.
	Driven(ctx context.Context) ([]Trip, error)
	// List returns the actor's trips requested before a time, newest first.
	List(ctx context.Context, a Actor, before time.Time, limit int) ([]Trip, error)
}
