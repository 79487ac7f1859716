package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// currentTripSQL reads trips as their last event left them. A condition on t
// follows.
const currentTripSQL = `SELECT e.payload FROM trips t JOIN trip_events e ON e.trip_id = t.id AND e.seq = t.version WHERE `

// Trip returns a trip, or trips.ErrNotFound.
func (s *tripStore) Trip(ctx context.Context, id trips.TripID) (trips.Trip, error) {
	t, err := s.queryTrip(ctx, `t.id = ?`, string(id))
	if err != nil {
		return t, fmt.Errorf("trip %s: %w", id, err)
	}
	return t, nil
}

// ActiveTrip returns the actor's active trip, or trips.ErrNotFound.
func (s *tripStore) ActiveTrip(ctx context.Context, a trips.Actor) (trips.Trip, error) {
	column, ok := tripColumns[a.Role]
	if !ok {
		return trips.Trip{}, fmt.Errorf("active trip of %s: %w", a, trips.ErrNotFound)
	}

	t, err := s.queryTrip(ctx, column+` = ? AND `+activeSQL, a.ID)
	if err != nil {
		return t, fmt.Errorf("active trip of %s: %w", a, err)
	}
	return t, nil
}

// tripColumns are the columns of trips that hold a person. The system has no
// trips.
var tripColumns = map[trips.Role]string{trips.RoleRider: "t.rider", trips.RoleDriver: "t.driver"}

func (db *database) queryTrip(ctx context.Context, where string, args ...any) (trips.Trip, error) {
	var payload []byte
	if err := db.read.queryOne(ctx, currentTripSQL+where, args, &payload); err != nil {
		return trips.Trip{}, err
	}
	ev, err := decodeEvent(payload)
	return ev.Trip, err
}

// OpenTrips returns trips that wait for a driver, oldest first.
func (s *tripStore) OpenTrips(ctx context.Context, limit int) ([]trips.Trip, error) {
	return s.queryTrips(ctx, `state = 'requested' ORDER BY requested_at, id LIMIT ?`, max(0, limit))
}

// TripsWithDriver returns all active trips that have a driver.
func (s *tripStore) TripsWithDriver(ctx context.Context) ([]trips.Trip, error) {
	return s.queryTrips(ctx, activeSQL+` AND driver IS NOT NULL`)
}

// ListTrips returns the actor's trips requested before a time, newest first.
func (s *tripStore) ListTrips(ctx context.Context, a trips.Actor, until time.Time, limit int) ([]trips.Trip, error) {
	column, ok := tripColumns[a.Role]
	if !ok {
		return nil, nil
	}
	return s.queryTrips(ctx, column+` = ? AND requested_at < ? ORDER BY requested_at DESC, id DESC LIMIT ?`,
		a.ID, firstMicrosecondFrom(until), max(0, limit))
}

func (db *database) queryTrips(ctx context.Context, where string, args ...any) ([]trips.Trip, error) {
	var out []trips.Trip
	err := db.yieldEvents(ctx, currentTripSQL+where, args, func(ev trips.Event) { out = append(out, ev.Trip) })
	if err != nil {
		return nil, fmt.Errorf("list trips: %w", err)
	}
	return out, nil
}

// Events returns a trip's events numbered above after, in order.
func (s *tripStore) Events(ctx context.Context, id trips.TripID, after uint32) ([]trips.Event, error) {
	var out []trips.Event
	err := s.yieldEvents(ctx, `SELECT payload FROM trip_events WHERE trip_id = ? AND seq > ? ORDER BY seq`,
		[]any{string(id), after}, func(ev trips.Event) { out = append(out, ev) })
	if err != nil {
		return nil, fmt.Errorf("events of trip %s: %w", id, err)
	}
	return out, nil
}

func (db *database) yieldEvents(ctx context.Context, query string, args []any, take func(trips.Event)) error {
	return db.read.queryEach(ctx, query, args, func(rows *sql.Rows) error {
		var payload sql.RawBytes
		if err := rows.Scan(&payload); err != nil {
			return err
		}
		ev, err := decodeEvent(payload)
		if err == nil {
			take(ev)
		}
		return err
	})
}
