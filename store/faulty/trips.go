package faulty

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// tripStore keeps trips, their events and the commands that made them; see
// trips.Store.
type tripStore struct{ *state }

// commandKey is what makes a trips.IdempotencyKey unique: all of it but the
// fingerprint.
type commandKey struct {
	actor trips.Actor
	id    string
}

// recordedCommand is what a command led to.
type recordedCommand struct {
	print string
	event trips.Event // none of an abandoned command
}

// eventFor returns the event of the command to a caller whose key has this
// fingerprint.
func (r recordedCommand) eventFor(print string) (trips.Event, error) {
	switch {
	case r.event.Trip.ID == "":
		return trips.Event{}, trips.ErrAbandoned
	case r.print != print:
		return trips.Event{}, trips.ErrKeyReused
	}
	return r.event, nil
}

// Apply commits a move; see trips.Store.
func (s *tripStore) Apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	ev := storedEvent(m.Event)
	return runCall(ctx, s.state, "apply", m.Key.ID+string(ev.Trip.ID), func() (trips.Event, error) {
		if err := m.CheckText(); err != nil {
			return trips.Event{}, err
		}
		key := commandKey{m.Key.Actor, m.Key.ID}
		if was, ok := s.commands[key]; ok {
			return was.eventFor(m.Key.Fingerprint)
		}
		if err := s.checkGuardsLocked(ev.Trip); err != nil {
			return trips.Event{}, err
		}

		s.storeEventLocked(ev)
		s.commands[key] = recordedCommand{m.Key.Fingerprint, ev}
		return ev, s.addOutboxLocked(trips.TopicTrip, ev.Trip.Region, ev.Kind, ev.Trip.ID, ev)
	})
}

// checkGuardsLocked refuses what a database refuses by its unique indexes and
// by the version in its UPDATE.
func (s *tripStore) checkGuardsLocked(t trips.Trip) error {
	was, known := s.trips[t.ID]
	switch {
	case !known && t.Version != 1:
		return trips.ErrNotFound
	case was.Version != t.Version-1:
		return trips.ErrConflict
	case !t.State.IsActive():
		return nil
	}

	if other, busy := s.active[trips.Rider(t.Rider)]; busy && other != t.ID {
		return trips.ErrRiderBusy
	}
	if other, busy := s.active[trips.Driver(t.Driver)]; t.Driver != "" && busy && other != t.ID {
		return trips.ErrTaken
	}

	return nil
}

// storeEventLocked appends an event and updates the indexes.
func (s *tripStore) storeEventLocked(ev trips.Event) {
	t := ev.Trip
	s.trips[t.ID] = t
	s.log = append(s.log, ev)
	s.events[t.ID] = append(s.events[t.ID], ev)
	delete(s.open, t.ID)
	if t.State == trips.Requested {
		s.open[t.ID] = t
	}
	people := []trips.Actor{trips.Rider(t.Rider)}
	if t.Driver != "" {
		people = append(people, trips.Driver(t.Driver))
	}

	for _, a := range people {
		if t.State.IsActive() {
			s.active[a] = t.ID
		} else {
			delete(s.active, a)
		}
	}
}

// Trip returns a trip; see trips.Store.
func (s *tripStore) Trip(ctx context.Context, id trips.TripID) (trips.Trip, error) {
	return runCall(ctx, s.state, "trip", string(id), func() (trips.Trip, error) { return lookUp(s.trips, id) })
}

// RecordedEvent returns what a key led to; see trips.Store.
func (s *tripStore) RecordedEvent(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	return runCall(ctx, s.state, "recorded", k.ID, func() (trips.Event, error) {
		r, err := lookUp(s.commands, commandKey{k.Actor, k.ID})
		if err != nil {
			return trips.Event{}, err
		}
		return r.eventFor(k.Fingerprint)
	})
}

// Abandon gives a command up; see trips.Store.
func (s *tripStore) Abandon(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	return runCall(ctx, s.state, "void", k.ID, func() (trips.Event, error) {
		if err := k.CheckText(); err != nil {
			return trips.Event{}, err
		}
		key := commandKey{k.Actor, k.ID}
		if _, known := s.commands[key]; !known {
			s.commands[key] = recordedCommand{print: k.Fingerprint}
		}
		return s.commands[key].eventFor(k.Fingerprint)
	})
}

// Events returns a trip's events; see trips.Store.
func (s *tripStore) Events(ctx context.Context, id trips.TripID, after uint32) ([]trips.Event, error) {
	return runCall(ctx, s.state, "events", string(id), func() ([]trips.Event, error) {
		evs := s.events[id]
		return slices.Clone(evs[min(int(after), len(evs)):]), nil
	})
}

// ActiveTrip returns the actor's active trip; see trips.Store.
func (s *tripStore) ActiveTrip(ctx context.Context, a trips.Actor) (trips.Trip, error) {
	return runCall(ctx, s.state, "active", a.ID, func() (trips.Trip, error) {
		id, err := lookUp(s.active, a)
		return s.trips[id], err
	})
}

// OpenTrips returns trips that wait for a driver; see trips.Store.
func (s *tripStore) OpenTrips(ctx context.Context, limit int) ([]trips.Trip, error) {
	return runCall(ctx, s.state, "open", "", func() ([]trips.Trip, error) {
		all := func(trips.Trip) bool { return true }
		return selectTrips(s.open, all, limit, func(t trips.Trip) time.Time { return t.RequestedAt }), nil
	})
}

// TripsWithDriver returns the active trips that have a driver; see trips.Store.
func (s *tripStore) TripsWithDriver(ctx context.Context) ([]trips.Trip, error) {
	return runCall(ctx, s.state, "driven", "", func() ([]trips.Trip, error) {
		driven := func(t trips.Trip) bool { return t.State.IsActive() && t.Driver != "" }
		return selectTrips(s.trips, driven, len(s.trips), func(t trips.Trip) time.Time { return t.RequestedAt }), nil
	})
}

// ListTrips returns the actor's trips; see trips.Store.
func (s *tripStore) ListTrips(ctx context.Context, a trips.Actor, before time.Time, limit int) ([]trips.Trip, error) {
	return runCall(ctx, s.state, "list", a.ID, func() ([]trips.Trip, error) {
		own := func(t trips.Trip) bool {
			return a.Role != trips.RoleSystem && t.Concerns(a) && t.RequestedAt.Before(storedTime(before))
		}
		all := selectTrips(s.trips, own, len(s.trips), func(t trips.Trip) time.Time { return t.RequestedAt })
		slices.Reverse(all)
		return all[:min(max(0, limit), len(all))], nil
	})
}

// selectTrips returns at most limit trips that match, oldest first.
func selectTrips(from map[trips.TripID]trips.Trip, match func(trips.Trip) bool, limit int,
	at func(trips.Trip) time.Time) []trips.Trip {
	var out []trips.Trip
	for _, t := range from {
		if match(t) {
			out = append(out, t)
		}
	}

	slices.SortFunc(out, func(a, b trips.Trip) int { return cmp.Or(at(a).Compare(at(b)), cmp.Compare(a.ID, b.ID)) })
	return out[:min(max(0, limit), len(out))]
}
