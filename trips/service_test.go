package trips_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/trips"
)

// memoryStore is the part of a store that a Service uses, in memory.
type memoryStore struct {
	trips.Store // the rest panics

	trips        map[trips.TripID]trips.Trip
	recorded     map[[2]string]trips.Event
	fingerprints map[[2]string]string
	applied      int // calls of Apply
	// beforeWrite runs between a read and the next write.
	beforeWrite func(s *memoryStore)
	err         error // what every call returns, if set
}

func newMemoryStore(ts ...trips.Trip) *memoryStore {
	s := &memoryStore{trips: map[trips.TripID]trips.Trip{}, recorded: map[[2]string]trips.Event{}, fingerprints: map[[2]string]string{}}
	for _, t := range ts {
		s.trips[t.ID] = t
	}
	return s
}

func (s *memoryStore) Trip(_ context.Context, id trips.TripID) (trips.Trip, error) {
	if s.err != nil {
		return trips.Trip{}, s.err
	}
	t, ok := s.trips[id]
	if !ok {
		return t, trips.ErrNotFound
	}
	return t, nil
}

func (s *memoryStore) Apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	s.applied++
	if s.err != nil {
		return trips.Event{}, s.err
	}
	if s.beforeWrite != nil {
		s.beforeWrite(s)
	}
	if ev, err := s.RecordedEvent(ctx, m.Key); !errors.Is(err, trips.ErrNotFound) {
		return ev, err
	}

	t := m.Event.Trip
	if s.trips[t.ID].Version+1 != t.Version {
		return trips.Event{}, trips.ErrConflict
	}

	k := [2]string{m.Key.Actor.String(), m.Key.ID}
	s.trips[t.ID], s.recorded[k], s.fingerprints[k] = t, m.Event, m.Key.Fingerprint
	return m.Event, nil
}

func (s *memoryStore) RecordedEvent(_ context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	ev, ok := s.recorded[[2]string{k.Actor.String(), k.ID}]
	if !ok {
		return trips.Event{}, trips.ErrNotFound
	}
	if s.fingerprints[[2]string{k.Actor.String(), k.ID}] != k.Fingerprint {
		return trips.Event{}, trips.ErrKeyReused
	}
	return ev, nil
}

// newService returns a Service on the store. Its clock stands an hour after
// noon.
func newService(s *memoryStore) *trips.Service {
	return &trips.Service{Store: s, Now: func() time.Time { return noon.Add(time.Hour) }}
}

func newKey(who, id string) trips.IdempotencyKey {
	return trips.IdempotencyKey{Actor: people[who], ID: id, Fingerprint: id}
}

func transitionBy(verb, who string) trips.Transition {
	return func(t trips.Trip, at time.Time) (trips.Event, error) { return transitions[verb](t, people[who], at) }
}

func TestTheServiceOpensATripUnderAFreshIDAtItsOwnTime(t *testing.T) {
	s := newMemoryStore()
	ev, err := newService(s).RequestTrip(t.Context(), newKey("rider", "c1"), "ada", marina, airport, quote)
	if err != nil {
		t.Fatal(err)
	}
	if err := uuid.Validate(string(ev.Trip.ID)); err != nil || !ev.At.Equal(noon.Add(time.Hour)) {
		t.Errorf("trip %s requested at %v: %v", ev.Trip.ID, ev.At, err)
	}

	again, err := newService(s).RequestTrip(t.Context(), newKey("rider", "c1"), "ada", marina, airport, quote)
	if err != nil || again != ev || len(s.trips) != 1 {
		t.Errorf("the same request again: %+v, %v, %d trips", again, err, len(s.trips))
	}
}

func TestTheServiceRefusesABadRequestBeforeTheStoreHearsOfIt(t *testing.T) {
	s := newMemoryStore()
	nowhere := marina
	nowhere.Lat = 200

	_, err := newService(s).RequestTrip(t.Context(), newKey("rider", "c1"), "ada", nowhere, airport, quote)
	if !errors.Is(err, trips.ErrBadPoint) {
		t.Error(err)
	}
	if s.applied != 0 {
		t.Error("the store was asked")
	}
}

func TestAMoveThatLostARaceIsTriedAgainOnTheTripAsItStands(t *testing.T) {
	s := newMemoryStore(tripAt(t, "reserved"))
	s.beforeWrite = func(s *memoryStore) {
		// The driver arrives just before the rider's cancellation is written.
		s.beforeWrite = nil
		s.trips["trip-1"] = tripAt(t, "arrived")
	}

	ev, err := newService(s).Apply(t.Context(), newKey("rider", "c1"), "trip-1", transitionBy("cancel", "rider"))
	if err != nil || ev.Trip.State != trips.Cancelled || ev.Trip.Version != 4 || s.applied != 2 {
		t.Errorf("%+v, %v after %d writes", ev.Trip, err, s.applied)
	}
}

func TestTheSecondOfTwoDriversLearnsThatTheTripIsTaken(t *testing.T) {
	s := newMemoryStore(tripAt(t, "requested"))
	s.beforeWrite = func(s *memoryStore) { s.trips["trip-1"] = tripAt(t, "reserved") }
	_, err := newService(s).Apply(t.Context(), newKey("driver2", "c1"), "trip-1", transitionBy("reserve", "driver2"))
	if !errors.Is(err, trips.ErrTaken) {
		t.Error(err)
	}
}

func TestTheServiceGivesUpOnATripThatNeverStandsStill(t *testing.T) {
	s := newMemoryStore(tripAt(t, "requested"))
	s.beforeWrite = func(s *memoryStore) {
		t := s.trips["trip-1"]
		t.Version++
		s.trips["trip-1"] = t
	}

	_, err := newService(s).Apply(t.Context(), newKey("rider", "c1"), "trip-1", transitionBy("cancel", "rider"))
	if !errors.Is(err, trips.ErrConflict) || s.applied != 5 {
		t.Errorf("%v after %d writes", err, s.applied)
	}
}

func TestARepeatedCommandGetsTheAnswerItGotThen(t *testing.T) {
	s := newMemoryStore(tripAt(t, "reserved"))
	first, err := newService(s).Apply(t.Context(), newKey("driver", "c1"), "trip-1", transitionBy("arrive", "driver"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newService(s).Apply(t.Context(), newKey("driver", "c2"), "trip-1", transitionBy("start", "driver")); err != nil {
		t.Fatal(err)
	}

	again, err := newService(s).Apply(t.Context(), newKey("driver", "c1"), "trip-1", transitionBy("arrive", "driver"))
	if err != nil || again != first {
		t.Errorf("again: %+v, %v", again, err)
	}
	if now := s.trips["trip-1"]; now.State != trips.OnTrip || now.Version != 4 {
		t.Errorf("the repeat moved the trip to %s, version %d", now.State, now.Version)
	}
}

func TestTheServiceTellsOfEachMoveOnceAndOfNoRepeat(t *testing.T) {
	s := newMemoryStore()
	d := newService(s)
	var told []trips.Event
	d.OnCommitted = func(ev trips.Event) { told = append(told, ev) }
	var id trips.TripID
	for range 2 {
		ev, err := d.RequestTrip(t.Context(), newKey("rider", "c1"), "ada", marina, airport, quote)
		if err != nil {
			t.Fatal(err)
		}
		id = ev.Trip.ID
	}

	for _, verb := range []string{"reserve", "arrive", "reserve", "arrive"} {
		if _, err := d.Apply(t.Context(), newKey("driver", verb), id, transitionBy(verb, "driver")); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := d.Apply(t.Context(), newKey("driver", "c9"), id, transitionBy("complete", "driver")); err == nil {
		t.Error("completed before it began")
	}

	// The store knows the command and the service does not see that the move
	// was made, as from a standby that lags.
	s.trips[id] = told[0].Trip
	if _, err := d.Apply(t.Context(), newKey("driver", "arrive"), id, transitionBy("reserve", "driver")); err != nil {
		t.Fatal(err)
	}
	if len(told) != 3 || told[0].Kind != trips.KindRequested || told[1].Kind != trips.KindReserved || told[2].Kind != trips.KindArrived {
		t.Errorf("told of %v", told)
	}
}

func TestACommandIDUsedForSomethingElseIsRefused(t *testing.T) {
	s := newMemoryStore(tripAt(t, "reserved"))
	if _, err := newService(s).Apply(t.Context(), newKey("driver", "c1"), "trip-1", transitionBy("arrive", "driver")); err != nil {
		t.Fatal(err)
	}

	other := trips.IdempotencyKey{Actor: people["driver"], ID: "c1", Fingerprint: "something else"}
	for _, verb := range []string{"start", "arrive"} { // one legal now, one not
		if _, err := newService(s).Apply(t.Context(), other, "trip-1", transitionBy(verb, "driver")); !errors.Is(err, trips.ErrKeyReused) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

func TestAnIllegalMoveWithANewKeyKeepsItsOwnError(t *testing.T) {
	s := newMemoryStore(tripAt(t, "reserved"))
	_, err := newService(s).Apply(t.Context(), newKey("driver", "c1"), "trip-1", transitionBy("complete", "driver"))
	if !errors.Is(err, trips.ErrBadMove) || s.applied != 0 {
		t.Errorf("%v after %d writes", err, s.applied)
	}
}

func TestTheServicePassesOnWhatTheStoreSays(t *testing.T) {
	s, k := newMemoryStore(), newKey("rider", "c1")
	if _, err := newService(s).Apply(t.Context(), k, "trip-9", transitionBy("cancel", "rider")); !errors.Is(err, trips.ErrNotFound) {
		t.Error(err)
	}

	s.err = errors.New("disk on fire")
	if _, err := newService(s).Apply(t.Context(), k, "trip-9", transitionBy("cancel", "rider")); !errors.Is(err, s.err) {
		t.Error(err)
	}
	if _, err := newService(s).RequestTrip(t.Context(), k, "ada", marina, airport, quote); !errors.Is(err, s.err) {
		t.Error(err)
	}
}
