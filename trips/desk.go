package trips

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/location"
)

// Desk is where commands on trips are handed in: it reads the trip, asks the verb, commits the move, and tries again
// when somebody else moved the trip in between. It keeps nothing; use it from as many goroutines as you like.
type Desk struct {
	Store Store
	Now   func() time.Time
}

// attempts bounds the retries after ErrConflict: a trip makes at most five moves in its life, so more means a bug.
const attempts = 5

// Verb turns the trip as it stands into the event that should happen.
type Verb func(t Trip, at time.Time) (Event, error)

// Request opens a trip for a rider.
func (d *Desk) Request(ctx context.Context, k Key, rider RiderID, pickup, dropoff location.Point, q Quote) (Event, error) {
	ev, err := Request(TripID(uuid.NewString()), rider, pickup, dropoff, q, d.Now())
	if err != nil {
		return Event{}, err
	}
	return d.Store.Apply(ctx, Move{Key: k, Event: ev})
}

// Move commits the verb's event on the trip. A key seen before returns what it led to then.
func (d *Desk) Move(ctx context.Context, k Key, id TripID, verb Verb) (Event, error) {
	for range attempts {
		t, err := d.Store.Trip(ctx, id)
		if err != nil {
			return Event{}, err
		}
		ev, err := verb(t, d.Now())
		if err != nil {
			return d.replayed(ctx, k, err)
		}
		ev, err = d.Store.Apply(ctx, Move{Key: k, Event: ev})
		if !errors.Is(err, ErrConflict) {
			return ev, err
		}
	}
	return Event{}, fmt.Errorf("trip %s: %w", id, ErrConflict)
}

// replayed tells a repeated command, whose move is illegal now because it was done before, from a truly illegal one.
func (d *Desk) replayed(ctx context.Context, k Key, illegal error) (Event, error) {
	ev, err := d.Store.Recorded(ctx, k)
	if errors.Is(err, ErrNotFound) {
		return Event{}, illegal
	}
	return ev, err
}
