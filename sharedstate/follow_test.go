package sharedstate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// tripTable is a TripReader on a map.
type tripTable struct {
	trips map[trips.TripID]trips.Trip

	mu    sync.Mutex // guards below
	down  error      // what every call answers while set
	reads int
}

// read counts a read of all trips.
func (s *tripTable) read() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.down
}

// setDown sets what every read answers, and returns how many there were.
func (s *tripTable) setDown(err error) (reads int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
	return s.reads
}

func (s *tripTable) TripsWithDriver(context.Context) (out []trips.Trip, err error) {
	for _, t := range s.trips {
		if t.Driver != "" && t.State.IsActive() {
			out = append(out, t)
		}
	}
	return out, s.read()
}

func (s *tripTable) Trip(_ context.Context, id trips.TripID) (trips.Trip, error) {
	t, ok := s.trips[id]
	if !ok {
		return t, fmt.Errorf("trip %s: %w", id, trips.ErrNotFound)
	}
	return t, nil
}

func TestDriversFollowTheirTrips(t *testing.T) {
	const none = trips.TripID("")
	follow := func(id trips.TripID, states ...trips.State) (out []trips.Trip) {
		for _, state := range states {
			out = append(out, trips.Trip{ID: id, Driver: "d", State: state})
		}
		return out
	}

	for name, c := range map[string]struct {
		events []trips.Trip
		trip   trips.TripID
		status Status
	}{
		"a request has no driver":        {[]trips.Trip{{ID: "t", State: trips.Requested}}, none, Available},
		"reserved":                       {follow("t", trips.Reserved), "t", Reserved},
		"arrived":                        {follow("t", trips.Reserved, trips.Arrived), "t", Reserved},
		"on the trip":                    {follow("t", trips.Reserved, trips.OnTrip), "t", OnTrip},
		"no step back":                   {follow("t", trips.OnTrip, trips.Reserved), "t", OnTrip},
		"completed":                      {follow("t", trips.OnTrip, trips.Completed), none, Available},
		"cancelled":                      {follow("t", trips.Reserved, trips.Cancelled), none, Available},
		"no event after the end":         {follow("t", trips.OnTrip, trips.Completed, trips.OnTrip), none, Available},
		"the end of another trip":        {append(follow("t", trips.OnTrip), follow("u", trips.Completed)...), "t", OnTrip},
		"the next trip, before the last": {append(follow("u", trips.Reserved), follow("t", trips.Completed)...), "u", Reserved},
	} {
		c0 := newClock()
		d := newDriversAt(c0)
		enterOnDuty(t, d, c0, "d", lagoon)
		for _, ev := range c.events {
			d.Follow(ev)
		}
		if got, _ := d.Get("d"); got.Trip != c.trip || got.Status != c.status {
			t.Errorf("%s: %s with trip %q, want %s with %q", name, got.Status, got.Trip, c.status, c.trip)
		}
		checkInvariants(t, d)
	}
}

func TestAResyncFindsTripsThatBeganAndEndedUnheard(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	for _, id := range []trips.DriverID{"began", "ended", "rides", "idle"} {
		enterOnDuty(t, d, c, id, lagoon)
	}
	d.Follow(trips.Trip{ID: "old", Driver: "ended", State: trips.OnTrip})
	d.Follow(trips.Trip{ID: "same", Driver: "rides", State: trips.Reserved})
	store := &tripTable{trips: map[trips.TripID]trips.Trip{
		"new":  {ID: "new", Driver: "began", State: trips.Reserved},
		"old":  {ID: "old", Driver: "ended", State: trips.Completed},
		"same": {ID: "same", Driver: "rides", State: trips.OnTrip},
	}}
	if err := NewTripFollower(d, store, "n1", nil).Resync(t.Context()); err != nil {
		t.Fatal(err)
	}

	for id, want := range map[trips.DriverID]Status{"began": Reserved, "ended": Available, "rides": OnTrip, "idle": Available} {
		if got, _ := d.Get(id); got.Status != want {
			t.Errorf("driver %s is %s, want %s", id, got.Status, want)
		}
	}

	checkInvariants(t, d)
}

func TestAResyncIsTriedAgainUntilTheStoreAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		d := newDriversAt(c)
		enterOnDuty(t, d, c, "d", lagoon)
		store := &tripTable{down: errors.New("down"),
			trips: map[trips.TripID]trips.Trip{"t": {ID: "t", Driver: "d", State: trips.OnTrip}}}
		f := NewTripFollower(d, store, "n1", slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()

		f.OnGap()
		f.OnGap() // one gap, not two
		synctest.Wait()
		reads := store.setDown(nil)
		if got, _ := d.Get("d"); got.Trip != "" || reads == 0 {
			t.Errorf("while the store is down: trip %q after %d reads", got.Trip, reads)
		}

		time.Sleep(resyncRetry)
		synctest.Wait()
		if got, _ := d.Get("d"); got.Trip != "t" || got.Status != OnTrip {
			t.Errorf("once it is up: %s with trip %q", got.Status, got.Trip)
		}

		before := store.setDown(nil)
		time.Sleep(10 * resyncRetry)
		synctest.Wait()
		if after := store.setDown(nil); after != before {
			t.Errorf("%d reads without a gap", after-before)
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
}
