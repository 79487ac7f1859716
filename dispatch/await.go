package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// awaitSignal waits for d, or until news about the trip or the offer in hand (nil
// when none is out) ends it earlier.
func (s *search) awaitSignal(ctx context.Context, d time.Duration, o *Offer) outcome {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return outcomeStopped
		case <-timer.C:
			return outcomeNone
		case n := <-s.signals:
			if end := s.handleSignal(ctx, n, o); end != outcomeNone {
				return end
			}
		}
	}
}

// handleSignal says what the news means while the offer is out; waited when it means
// nothing.
func (s *search) handleSignal(ctx context.Context, n signal, o *Offer) outcome {
	switch n.kind {
	case tripChanged:
		return s.outcomeOf(n.trip, o)
	case tripUncertain:
		return s.readTripUntilKnown(ctx, o)
	case offerDeclined:
		if o != nil && n.offerID == o.ID && n.driver == o.Driver {
			return outcomeDeclined
		}
	case driverGone:
		if o != nil && n.driver == o.Driver {
			return outcomeDriverGone
		}
	}

	return outcomeNone
}

// rereadInterval paces reading while the store is away: until it answers, nobody
// knows whether the driver took the trip, and the driver stays held.
const rereadInterval = time.Second

// storeTimeout bounds each question to the store: one that hangs is asked again,
// over another connection if it has any.
const storeTimeout = 5 * time.Second

// readTripUntilKnown asks the store where the trip stands, until it answers.
func (s *search) readTripUntilKnown(ctx context.Context, o *Offer) outcome {
	for {
		t, err := s.readTrip(ctx)
		if err == nil {
			return s.outcomeOf(t, o)
		}
		if errors.Is(err, trips.ErrNotFound) {
			return outcomeClosed
		}

		select {
		case <-ctx.Done():
			return outcomeStopped
		case <-time.After(rereadInterval):
		}
	}
}

func (s *search) readTrip(ctx context.Context) (trips.Trip, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.dispatcher.cfg.Store.Trip(ctx, s.trip.ID)
}

// outcomeOf says what the trip's place means for the search.
func (s *search) outcomeOf(t trips.Trip, o *Offer) outcome {
	if t.State == trips.Requested {
		return outcomeNone
	}

	s.endedTrip = t
	if o != nil && t.Driver == o.Driver {
		return outcomeAccepted
	}
	return outcomeClosed
}

// withdrawReason is the reason a driver is told whose offer goes because the trip
// went.
func (s *search) withdrawReason() string {
	if s.endedTrip.Driver != "" {
		return GoneTaken
	}
	return GoneCancelled
}
