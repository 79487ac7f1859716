package trips

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/location"
)

// Desk is where commands on trips are handed in: it reads the trip, asks the
// verb, commits the move, and tries again when somebody else moved the trip in
// between. It keeps nothing; use it from as many goroutines as you like.
type Desk struct {
	Store Store
	Now   func() time.Time
	// Committed hears each move that this desk has just committed, before the
	// move's caller does; nil: nobody. What a repeated command led to earlier
	// is not told again. It must not wait, and it is called from as many
	// goroutines as there are callers, so that two moves of a trip may come in
	// either order.
	Committed func(Event)
}

// maxAttempts bounds the retries after ErrConflict: a trip makes at most five
// moves in its life, so more means a bug.
const maxAttempts = 5

// Verb turns the trip as it stands into the event that should happen.
type Verb func(t Trip, at time.Time) (Event, error)

// Request opens a trip for a rider.
func (d *Desk) Request(ctx context.Context, k Key, rider RiderID, pickup, dropoff location.Point, q Quote) (Event, error) {
	ev, err := Request(TripID(uuid.NewString()), rider, pickup, dropoff, q, d.Now())
	if err != nil {
		return Event{}, err
	}
	return d.applyAndNotify(ctx, Move{Key: k, Event: ev})
}

// Move commits the verb's event on the trip. A key seen before returns what it
// led to then.
func (d *Desk) Move(ctx context.Context, k Key, id TripID, verb Verb) (Event, error) {
	for range maxAttempts {
		t, err := d.Store.Trip(ctx, id)
		if err != nil {
			return Event{}, err
		}

		ev, err := verb(t, d.Now())
		if err != nil {
			return d.replayOrRefuse(ctx, k, err)
		}

		ev, err = d.applyAndNotify(ctx, Move{Key: k, Event: ev})
		if !errors.Is(err, ErrConflict) {
			return ev, err
		}
	}

	return Event{}, fmt.Errorf("trip %s: %w", id, ErrConflict)
}

// applyAndNotify commits a move and tells of it. The store answers a command that was
// done before with another event: of another number, or of the trip that the
// first request opened.
func (d *Desk) applyAndNotify(ctx context.Context, m Move) (Event, error) {
	ev, err := d.Store.Apply(ctx, m)
	if err == nil && d.Committed != nil && ev.Trip.ID == m.Event.Trip.ID && ev.Seq() == m.Event.Seq() {
		d.Committed(ev)
	}
	return ev, err
}

// replayOrRefuse tells a repeated command, whose move is illegal now because it was
// done before, from a truly illegal one.
func (d *Desk) replayOrRefuse(ctx context.Context, k Key, illegal error) (Event, error) {
	ev, err := d.Store.Recorded(ctx, k)
	if errors.Is(err, ErrNotFound) {
		return Event{}, illegal
	}
	return ev, err
}
