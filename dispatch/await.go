package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// await waits for d, or until news about the trip or the offer in hand (nil
// when none is out) ends it earlier.
func (s *search) await(ctx context.Context, d time.Duration, o *Offer) ending {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return stopped
		case <-timer.C:
			return waited
		case n := <-s.news:
			if end := s.read(ctx, n, o); end != waited {
				return end
			}
		}
	}
}

// read says what the news means while the offer is out; waited when it means
// nothing.
func (s *search) read(ctx context.Context, n news, o *Offer) ending {
	switch n.kind {
	case moved:
		return s.stands(n.trip, o)
	case look:
		return s.reread(ctx, o)
	case declined:
		if o != nil && n.offer == o.ID && n.driver == o.Driver {
			return refused
		}
	case gone:
		if o != nil && n.driver == o.Driver {
			return vanished
		}
	}

	return waited
}

// rereadEvery paces reading while the store is away: until it answers, nobody
// knows whether the driver took the trip, and the driver stays held.
const rereadEvery = time.Second

// storeWithin bounds each question to the store: one that hangs is asked again,
// over another connection if it has any.
const storeWithin = 5 * time.Second

// reread asks the store where the trip stands, until it answers.
func (s *search) reread(ctx context.Context, o *Offer) ending {
	for {
		t, err := s.whereItStands(ctx)
		if err == nil {
			return s.stands(t, o)
		}
		if errors.Is(err, trips.ErrNotFound) {
			return over
		}

		select {
		case <-ctx.Done():
			return stopped
		case <-time.After(rereadEvery):
		}
	}
}

func (s *search) whereItStands(ctx context.Context) (trips.Trip, error) {
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	return s.d.cfg.Store.Trip(ctx, s.trip.ID)
}

// stands says what the trip's place means for the search.
func (s *search) stands(t trips.Trip, o *Offer) ending {
	if t.State == trips.Requested {
		return waited
	}

	s.ended = t
	if o != nil && t.Driver == o.Driver {
		return won
	}
	return over
}

// whyOver is the reason a driver is told whose offer goes because the trip
// went.
func (s *search) whyOver() string {
	if s.ended.Driver != "" {
		return GoneTaken
	}
	return GoneCancelled
}
