package trips_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/trips"
)

// shelf is the part of a store that a Desk uses, in memory.
type shelf struct {
	trips.Store // the rest panics

	trips     map[trips.TripID]trips.Trip
	keys      map[[2]string]trips.Event
	prints    map[[2]string]string
	applied   int            // calls of Apply
	meanwhile func(s *shelf) // happens between a read and the next write
	broken    error          // what every call returns, if set
}

func newShelf(ts ...trips.Trip) *shelf {
	s := &shelf{trips: map[trips.TripID]trips.Trip{}, keys: map[[2]string]trips.Event{}, prints: map[[2]string]string{}}
	for _, t := range ts {
		s.trips[t.ID] = t
	}
	return s
}

func (s *shelf) Trip(_ context.Context, id trips.TripID) (trips.Trip, error) {
	if s.broken != nil {
		return trips.Trip{}, s.broken
	}
	t, ok := s.trips[id]
	if !ok {
		return t, trips.ErrNotFound
	}
	return t, nil
}

func (s *shelf) Apply(ctx context.Context, m trips.Move) (trips.Event, error) {
	s.applied++
	if s.broken != nil {
		return trips.Event{}, s.broken
	}
	if s.meanwhile != nil {
		s.meanwhile(s)
	}
	if ev, err := s.Recorded(ctx, m.Key); !errors.Is(err, trips.ErrNotFound) {
		return ev, err
	}

	t := m.Event.Trip
	if s.trips[t.ID].Version+1 != t.Version {
		return trips.Event{}, trips.ErrConflict
	}

	k := [2]string{m.Key.Actor.String(), m.Key.ID}
	s.trips[t.ID], s.keys[k], s.prints[k] = t, m.Event, m.Key.Print
	return m.Event, nil
}

func (s *shelf) Recorded(_ context.Context, k trips.Key) (trips.Event, error) {
	ev, ok := s.keys[[2]string{k.Actor.String(), k.ID}]
	if !ok {
		return trips.Event{}, trips.ErrNotFound
	}
	if s.prints[[2]string{k.Actor.String(), k.ID}] != k.Print {
		return trips.Event{}, trips.ErrKeyReused
	}
	return ev, nil
}

// desk works on the shelf; its clock stands an hour after noon.
func desk(s *shelf) *trips.Desk {
	return &trips.Desk{Store: s, Now: func() time.Time { return noon.Add(time.Hour) }}
}

func key(who, id string) trips.Key {
	return trips.Key{Actor: people[who], ID: id, Print: id}
}

func by(verb, who string) trips.Verb {
	return func(t trips.Trip, at time.Time) (trips.Event, error) { return verbs[verb](t, people[who], at) }
}

func TestTheDeskOpensATripUnderAFreshIDAtItsOwnTime(t *testing.T) {
	s := newShelf()
	ev, err := desk(s).Request(t.Context(), key("rider", "c1"), "ada", marina, airport, quote)
	if err != nil {
		t.Fatal(err)
	}
	if err := uuid.Validate(string(ev.Trip.ID)); err != nil || !ev.At.Equal(noon.Add(time.Hour)) {
		t.Errorf("trip %s requested at %v: %v", ev.Trip.ID, ev.At, err)
	}

	again, err := desk(s).Request(t.Context(), key("rider", "c1"), "ada", marina, airport, quote)
	if err != nil || again != ev || len(s.trips) != 1 {
		t.Errorf("the same request again: %+v, %v, %d trips", again, err, len(s.trips))
	}
}

func TestTheDeskRefusesABadRequestBeforeTheStoreHearsOfIt(t *testing.T) {
	s := newShelf()
	nowhere := marina
	nowhere.Lat = 200

	_, err := desk(s).Request(t.Context(), key("rider", "c1"), "ada", nowhere, airport, quote)
	if !errors.Is(err, trips.ErrBadPoint) {
		t.Error(err)
	}
	if s.applied != 0 {
		t.Error("the store was asked")
	}
}

func TestAMoveThatLostARaceIsTriedAgainOnTheTripAsItStands(t *testing.T) {
	s := newShelf(at(t, "reserved"))
	s.meanwhile = func(s *shelf) {
		// the driver arrives just before the rider's cancellation is written
		s.meanwhile = nil
		s.trips["trip-1"] = at(t, "arrived")
	}

	ev, err := desk(s).Move(t.Context(), key("rider", "c1"), "trip-1", by("cancel", "rider"))
	if err != nil || ev.Trip.State != trips.Cancelled || ev.Trip.Version != 4 || s.applied != 2 {
		t.Errorf("%+v, %v after %d writes", ev.Trip, err, s.applied)
	}
}

func TestTheSecondOfTwoDriversLearnsThatTheTripIsTaken(t *testing.T) {
	s := newShelf(at(t, "requested"))
	s.meanwhile = func(s *shelf) { s.trips["trip-1"] = at(t, "reserved") }
	_, err := desk(s).Move(t.Context(), key("driver2", "c1"), "trip-1", by("reserve", "driver2"))
	if !errors.Is(err, trips.ErrTaken) {
		t.Error(err)
	}
}

func TestTheDeskGivesUpOnATripThatNeverStandsStill(t *testing.T) {
	s := newShelf(at(t, "requested"))
	s.meanwhile = func(s *shelf) {
		t := s.trips["trip-1"]
		t.Version++
		s.trips["trip-1"] = t
	}

	_, err := desk(s).Move(t.Context(), key("rider", "c1"), "trip-1", by("cancel", "rider"))
	if !errors.Is(err, trips.ErrConflict) || s.applied != 5 {
		t.Errorf("%v after %d writes", err, s.applied)
	}
}

func TestARepeatedCommandGetsTheAnswerItGotThen(t *testing.T) {
	s := newShelf(at(t, "reserved"))
	first, err := desk(s).Move(t.Context(), key("driver", "c1"), "trip-1", by("arrive", "driver"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := desk(s).Move(t.Context(), key("driver", "c2"), "trip-1", by("start", "driver")); err != nil {
		t.Fatal(err)
	}

	again, err := desk(s).Move(t.Context(), key("driver", "c1"), "trip-1", by("arrive", "driver"))
	if err != nil || again != first {
		t.Errorf("again: %+v, %v", again, err)
	}
	if now := s.trips["trip-1"]; now.State != trips.OnTrip || now.Version != 4 {
		t.Errorf("the repeat moved the trip to %s, version %d", now.State, now.Version)
	}
}

func TestTheDeskTellsOfEachMoveOnceAndOfNoRepeat(t *testing.T) {
	s := newShelf()
	d := desk(s)
	var told []trips.Event
	d.Committed = func(ev trips.Event) { told = append(told, ev) }
	var id trips.TripID
	for range 2 {
		ev, err := d.Request(t.Context(), key("rider", "c1"), "ada", marina, airport, quote)
		if err != nil {
			t.Fatal(err)
		}
		id = ev.Trip.ID
	}

	for _, verb := range []string{"reserve", "arrive", "reserve", "arrive"} {
		if _, err := d.Move(t.Context(), key("driver", verb), id, by(verb, "driver")); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := d.Move(t.Context(), key("driver", "c9"), id, by("complete", "driver")); err == nil {
		t.Error("completed before it began")
	}

	// The store knows the command and the desk does not see that the move was
	// made, as from a standby that lags.
	s.trips[id] = told[0].Trip
	if _, err := d.Move(t.Context(), key("driver", "arrive"), id, by("reserve", "driver")); err != nil {
		t.Fatal(err)
	}
	if len(told) != 3 || told[0].Kind != trips.KindRequested || told[1].Kind != trips.KindReserved || told[2].Kind != trips.KindArrived {
		t.Errorf("told of %v", told)
	}
}

func TestACommandIDUsedForSomethingElseIsRefused(t *testing.T) {
	s := newShelf(at(t, "reserved"))
	if _, err := desk(s).Move(t.Context(), key("driver", "c1"), "trip-1", by("arrive", "driver")); err != nil {
		t.Fatal(err)
	}

	other := trips.Key{Actor: people["driver"], ID: "c1", Print: "something else"}
	for _, verb := range []string{"start", "arrive"} { // one legal now, one not
		if _, err := desk(s).Move(t.Context(), other, "trip-1", by(verb, "driver")); !errors.Is(err, trips.ErrKeyReused) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

func TestAnIllegalMoveWithANewKeyKeepsItsOwnError(t *testing.T) {
	s := newShelf(at(t, "reserved"))
	_, err := desk(s).Move(t.Context(), key("driver", "c1"), "trip-1", by("complete", "driver"))
	if !errors.Is(err, trips.ErrBadMove) || s.applied != 0 {
		t.Errorf("%v after %d writes", err, s.applied)
	}
}

func TestTheDeskPassesOnWhatTheStoreSays(t *testing.T) {
	s, k := newShelf(), key("rider", "c1")
	if _, err := desk(s).Move(t.Context(), k, "trip-9", by("cancel", "rider")); !errors.Is(err, trips.ErrNotFound) {
		t.Error(err)
	}

	s.broken = errors.New("disk on fire")
	if _, err := desk(s).Move(t.Context(), k, "trip-9", by("cancel", "rider")); !errors.Is(err, s.broken) {
		t.Error(err)
	}
	if _, err := desk(s).Request(t.Context(), k, "ada", marina, airport, quote); !errors.Is(err, s.broken) {
		t.Error(err)
	}
}
