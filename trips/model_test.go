package trips_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/trips"
)

// model is an independent description of a trip: how far the ride got, and who
// drives. It shares nothing with the code but the names of the states.
type model struct {
	stage  int // index into ride
	over   trips.State
	driver string
	moves  uint32
}

var ride = []trips.State{trips.Requested, trips.Reserved, trips.Arrived, trips.OnTrip, trips.Completed}

func (m model) state() trips.State {
	if m.over != "" {
		return m.over
	}
	return ride[m.stage]
}

// predict returns the model after a command, or the error that refuses it.
func (m model) predict(verb, who string, by trips.Actor) (model, error) {
	ended := m.over != "" || m.stage == 4
	own := m.driver != "" && by == trips.Driver(trips.DriverID(m.driver))
	next := m
	next.moves++

	switch verb {
	case "reserve":
		if m.stage == 0 && !ended {
			next.stage, next.driver = 1, by.ID
			return next, nil
		}
		if m.driver != "" && !own {
			return m, trips.ErrTaken
		}
		return m, trips.ErrBadMove
	case "arrive", "start", "complete":
		target := map[string]int{"arrive": 2, "start": 3, "complete": 4}[verb]
		if !own {
			return m, trips.ErrNotYours
		}
		if ended || m.stage+1 != target {
			return m, trips.ErrBadMove
		}
		next.stage = target
		return next, nil
	case "expire":
		if who != "system" {
			return m, trips.ErrNotYours
		}
		if ended || m.stage != 0 {
			return m, trips.ErrBadMove
		}
		next.over = trips.Expired
		return next, nil
	}

	if !own && who != "rider" && who != "system" {
		return m, trips.ErrNotYours
	}
	if ended || (m.stage == 3 && who != "system") {
		return m, trips.ErrBadMove
	}

	next.over = trips.Cancelled
	return next, nil
}

func TestNoSequenceOfCommandsLeadsATripAstray(t *testing.T) {
	names, actors := sortedKeys(transitions), sortedKeys(people)
	rapid.Check(t, func(t *rapid.T) {
		ev, err := trips.Request("trip-1", "ada", marina, airport, quote, noon)
		if err != nil {
			t.Fatal(err)
		}

		trip, m, clock := ev.Trip, model{moves: 1}, noon
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			verb, who := rapid.SampledFrom(names).Draw(t, "verb"), rapid.SampledFrom(actors).Draw(t, "actor")
			if by := people[who]; verb == "reserve" && by.Role != trips.RoleDriver {
				continue
			}

			clock = clock.Add(time.Second)
			var want error

			m, want = m.predict(verb, who, people[who])
			ev, err := transitions[verb](trip, people[who], clock)
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Fatalf("%s by %s from %s: %v, want %v", verb, who, trip.State, err, want)
			}
			if err == nil {
				trip = ev.Trip
			}

			checkTrip(t, m, trip)
		}
	})
}

// checkTrip checks what holds of a trip at every moment of its life.
func checkTrip(t *rapid.T, m model, trip trips.Trip) {
	if trip.State != m.state() || string(trip.Driver) != m.driver || trip.Version != m.moves {
		t.Fatalf("trip is %s of %q after %d moves, want %s of %q after %d",
			trip.State, trip.Driver, trip.Version, m.state(), m.driver, m.moves)
	}
	if trip.Version > 5 {
		t.Fatalf("a trip made %d moves", trip.Version)
	}
	if trip.Rider != "ada" || trip.Quote != quote || trip.Pickup != marina || trip.Dropoff != airport {
		t.Fatalf("a move changed what was agreed: %+v", trip)
	}

	last := time.Time{}
	for _, when := range []time.Time{trip.RequestedAt, trip.ReservedAt, trip.ArrivedAt, trip.StartedAt, trip.EndedAt} {
		if !when.IsZero() && !when.After(last) {
			t.Fatalf("times run backwards: %+v", trip)
		}
		if !when.IsZero() {
			last = when
		}
	}

	if len(trips.NextStates[trip.State]) == 0 == trip.State.IsActive() {
		t.Fatalf("%s: active %v, with %d ways on", trip.State, trip.State.IsActive(), len(trips.NextStates[trip.State]))
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
