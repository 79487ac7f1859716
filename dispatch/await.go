package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
)

// awaitSignal waits for d. A signal about the trip, or about the offer that is
// out, ends it earlier. o is nil when no offer is out.
func (s *search) awaitSignal(ctx context.Context, d time.Duration, o *Offer) outcome {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.hops.signalled = s.hopTime()
			return outcomeStopped
		case <-timer.C:
			s.hops.signalled = s.hopTime()
			return outcomeNone
		case n := <-s.signals:
			s.hops.signalled = n.sentAt
			if end := s.handleSignal(ctx, n, o); end != outcomeNone {
				return end
			}
		}
	}
}

// handleSignal returns what the signal means while offer o is out. outcomeNone
// means that it changes nothing.
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
	case driverBusy:
		if o != nil && n.offerID == o.ID && n.driver == o.Driver {
			return outcomeDriverBusy
		}
	}

	return outcomeNone
}

// rereadInterval paces the reads while the store is away. Until it answers, it
// is unknown whether the driver took the trip, and the driver stays held.
const rereadInterval = time.Second

// storeTimeout bounds each call of the store. After it the call is repeated,
// over another connection if the store has one.
const storeTimeout = 5 * time.Second

// readTripUntilKnown asks the store for the trip until it answers.
func (s *search) readTripUntilKnown(ctx context.Context, o *Offer) outcome {
	for {
		t, err := s.readTrip(ctx)
		if err == nil {
			return s.outcomeOf(t, o)
		}
		if errors.Is(err, trips.ErrNotFound) {
			return outcomeClosed
		}

		if !sleep.For(ctx, rereadInterval) {
			return outcomeStopped
		}
	}
}

func (s *search) readTrip(ctx context.Context) (trips.Trip, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.dispatcher.cfg.Store.Trip(ctx, s.trip.ID)
}

// outcomeOf returns what the trip's state means for the search. It keeps the
// trip when the search is over.
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

// withdrawReason is the reason given to the driver whose offer ends because the
// trip was taken or closed.
func (s *search) withdrawReason() string {
	if s.endedTrip.Driver != "" {
		return GoneTaken
	}
	return GoneCancelled
}
