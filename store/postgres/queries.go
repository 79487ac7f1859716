package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/trips"
)

// currentTripSQL reads trips as their last event left them.
const currentTripSQL = `SELECT e.payload FROM trips t JOIN trip_events e ON e.trip_id = t.id AND e.seq = t.version `

// activeSQL repeats the condition of the partial indexes word for word, so that
// the planner uses them.
const activeSQL = ` t.state IN ('requested', 'reserved', 'arrived', 'on_trip') `

// Trip returns a trip; see trips.Store.
func (s *tripStore) Trip(ctx context.Context, id trips.TripID) (trips.Trip, error) {
	return s.queryTrip(ctx, "trip "+string(id), currentTripSQL+`WHERE t.id = $1`, id)
}

// ActiveTrip returns the actor's active trip; see trips.Store.
func (s *tripStore) ActiveTrip(ctx context.Context, a trips.Actor) (trips.Trip, error) {
	column, err := tripColumn(a)
	if err != nil {
		return trips.Trip{}, err
	}
	return s.queryTrip(ctx, "active trip of "+a.String(), currentTripSQL+`WHERE t.`+column+` = $1 AND`+activeSQL, a.ID)
}

// tripColumn returns the column of trips that holds an actor. The system has no
// trips.
func tripColumn(a trips.Actor) (string, error) {
	switch a.Role {
	case trips.RoleRider:
		return "rider", nil
	case trips.RoleDriver:
		return "driver", nil
	}
	return "", fmt.Errorf("trips of %s: %w", a, trips.ErrNotFound)
}

// RecordedEvent returns the event a key led to; see trips.Store.
func (s *tripStore) RecordedEvent(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	var asked string
	var payload []byte

	err := s.read(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
			SELECT c.print, e.payload FROM commands c LEFT JOIN trip_events e ON e.trip_id = c.trip_id AND e.seq = c.seq
			WHERE c.actor_role = $1 AND c.actor_id = $2 AND c.id = $3`, k.Actor.Role, k.Actor.ID, k.ID).Scan(&asked, &payload)
	})
	if err != nil {
		return trips.Event{}, fmt.Errorf("command %q of %s: %w", k.ID, k.Actor, mapNotFound(err))
	}
	return recordedEvent(k, asked, payload)
}

// Abandon abandons a command; see trips.Store. It waits for a move under way
// with the same key: both want the same row.
func (s *tripStore) Abandon(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	if err := k.CheckText(); err != nil {
		return trips.Event{}, err
	}
	err := s.retryWrite(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
			INSERT INTO commands (actor_role, actor_id, id, print, trip_id, seq) VALUES ($1, $2, $3, $4, '', 0)
			ON CONFLICT DO NOTHING`, k.Actor.Role, k.Actor.ID, k.ID, k.Fingerprint)
		return err
	})
	if err != nil {
		return trips.Event{}, fmt.Errorf("give up command %q of %s: %w", k.ID, k.Actor, err)
	}
	return s.RecordedEvent(ctx, k)
}

// Events returns a trip's events; see trips.Store.
func (s *tripStore) Events(ctx context.Context, id trips.TripID, after uint32) ([]trips.Event, error) {
	return queryAll(ctx, s.database, "events of trip "+string(id), scanEvent,
		`SELECT payload FROM trip_events WHERE trip_id = $1 AND seq > $2 ORDER BY seq`, id, after)
}

// OpenTrips returns trips that wait for a driver; see trips.Store.
func (s *tripStore) OpenTrips(ctx context.Context, limit int) ([]trips.Trip, error) {
	return s.queryTrips(ctx, "open trips", currentTripSQL+`WHERE t.state = 'requested' ORDER BY t.requested_at, t.id LIMIT $1`, limit)
}

// TripsWithDriver returns active trips with a driver; see trips.Store.
func (s *tripStore) TripsWithDriver(ctx context.Context) ([]trips.Trip, error) {
	return s.queryTrips(ctx, "driven trips", currentTripSQL+`WHERE t.driver IS NOT NULL AND`+activeSQL)
}

// ListTrips returns the actor's trips; see trips.Store.
func (s *tripStore) ListTrips(ctx context.Context, a trips.Actor, before time.Time, limit int) ([]trips.Trip, error) {
	column, err := tripColumn(a)
	if err != nil {
		return nil, nil
	}
	return s.queryTrips(ctx, "trips of "+a.String(), currentTripSQL+`WHERE t.`+column+` = $1 AND t.requested_at < $2
		ORDER BY t.requested_at DESC, t.id DESC LIMIT $3`, a.ID, before, limit)
}

func (db *database) queryTrip(ctx context.Context, what, sql string, args ...any) (trips.Trip, error) {
	ts, err := db.queryTrips(ctx, what, sql, args...)
	if err != nil {
		return trips.Trip{}, err
	}
	if len(ts) == 0 {
		return trips.Trip{}, fmt.Errorf("%s: %w", what, trips.ErrNotFound)
	}
	return ts[0], nil
}

func (db *database) queryTrips(ctx context.Context, what, sql string, args ...any) ([]trips.Trip, error) {
	evs, err := queryAll(ctx, db, what, scanEvent, sql, args...)
	ts := make([]trips.Trip, len(evs))
	for i := range evs {
		ts[i] = evs[i].Trip
	}
	return ts, err
}

func scanEvent(row pgx.CollectableRow) (trips.Event, error) {
	var payload []byte
	if err := row.Scan(&payload); err != nil {
		return trips.Event{}, err
	}
	return decodeEvent(payload)
}

// mapNotFound turns pgx.ErrNoRows into trips.ErrNotFound, and so the refusal of
// an id that no row can have.
func mapNotFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) || isNotText(err) {
		return trips.ErrNotFound
	}
	return err
}
