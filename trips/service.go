package trips

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/location"
)

// Service commits commands on trips: it reads the trip, asks the transition for
// the event, commits it, and starts over when another command moved the trip in
// between. It keeps no state and may be used from many goroutines.
type Service struct {
	Store Store
	Now   func() time.Time
	// OnCommitted, if set, is called with each event that this service has just
	// committed, before the command's caller gets it. Events that a repeated
	// command led to earlier are not reported again. OnCommitted must not
	// block. It runs on the goroutine of the command, so two events of a trip
	// may arrive in either order.
	OnCommitted func(Event)
}

// maxAttempts bounds the retries after ErrConflict. A trip makes at most five
// transitions in its life, so more conflicts mean a bug.
const maxAttempts = 5

// Transition computes the event that a command wants from the trip as it
// stands, or says why the trip cannot do it.
type Transition func(t Trip, at time.Time) (Event, error)

// RequestTrip opens a trip for a rider under a fresh id. It returns ErrBadPoint
// or an error of Store.Apply. A key seen before returns the event it led to
// then.
func (s *Service) RequestTrip(ctx context.Context, k IdempotencyKey, rider RiderID, pickup, dropoff location.Point, q Quote) (Event, error) {
	return s.RequestTripAs(ctx, TripID(uuid.NewString()), k, rider, pickup, dropoff, q)
}

// RequestTripAs is RequestTrip under an id that no trip has.
func (s *Service) RequestTripAs(ctx context.Context, id TripID, k IdempotencyKey, rider RiderID, pickup, dropoff location.Point, q Quote) (Event, error) {
	ev, err := Request(id, rider, pickup, dropoff, q, s.Now())
	if err != nil {
		return Event{}, err
	}
	return s.applyAndNotify(ctx, Command{Key: k, Event: ev})
}

// Apply commits the event that the transition yields on the trip. A key seen before
// returns the event it led to then. Errors: those of the transition and of Store.Apply;
// ErrConflict if the trip kept changing through all attempts.
func (s *Service) Apply(ctx context.Context, k IdempotencyKey, id TripID, transition Transition) (Event, error) {
	for range maxAttempts {
		t, err := s.Store.Trip(ctx, id)
		if err != nil {
			return Event{}, err
		}

		ev, err := transition(t, s.Now())
		if err != nil {
			return s.replayOrRefuse(ctx, k, err)
		}

		ev, err = s.applyAndNotify(ctx, Command{Key: k, Event: ev})
		if !errors.Is(err, ErrConflict) {
			return ev, err
		}
	}

	return Event{}, fmt.Errorf("trip %s: %w", id, ErrConflict)
}

// applyAndNotify commits a command and reports its event. For a command that
// was done before the store returns the earlier event, which has another number
// or, for a repeated request, another trip; it is not reported again.
func (s *Service) applyAndNotify(ctx context.Context, m Command) (Event, error) {
	ev, err := s.Store.Apply(ctx, m)
	if err == nil && s.OnCommitted != nil && ev.Trip.ID == m.Event.Trip.ID && ev.Seq() == m.Event.Seq() {
		s.OnCommitted(ev)
	}
	return ev, err
}

// replayOrRefuse tells two refusals apart: a repeated command, whose transition
// is illegal now because it was already made, gets its recorded event; any
// other command gets the error illegal.
func (s *Service) replayOrRefuse(ctx context.Context, k IdempotencyKey, illegal error) (Event, error) {
	ev, err := s.Store.RecordedEvent(ctx, k)
	if errors.Is(err, ErrNotFound) {
		return Event{}, illegal
	}
	return ev, err
}
