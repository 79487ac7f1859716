package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// activeSQL repeats the condition of the partial indexes word for word, so that
// SQLite uses them.
const activeSQL = `state IN ('requested', 'reserved', 'arrived', 'on_trip')`

// tripStore keeps trips, their events and the commands that made them; see
// trips.Store.
type tripStore struct{ *database }

// Apply commits a move; see trips.Store.
func (s *tripStore) Apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	if err := m.CheckText(); err != nil {
		return trips.Event{}, err
	}
	ev := m.Event
	ev.At, ev.Trip = storedTime(ev.At), storedTrip(ev.Trip)
	payload, err := json.Marshal(ev)
	if err != nil {
		return trips.Event{}, fmt.Errorf("trip %s: %w", ev.Trip.ID, err)
	}

	hop := s.hopOf(tracing.Statement, tracing.PhaseOf(ev.Kind), ev.Trip.ID)
	if hop != nil && m.Key.Actor.Role == trips.RoleSystem {
		hop.from = tracing.Dispatch // the node's own move, such as the end of a search
	}
	return writeTraced(ctx, s.database, hop, func(tx *statements) (trips.Event, error) {
		was, err := recordedEvent(context.Background(), tx, m.Key)
		if !errors.Is(err, trips.ErrNotFound) {
			return was, err
		}
		if err := updateTripRow(tx, ev.Trip); err != nil {
			return trips.Event{}, fmt.Errorf("trip %s: %w", ev.Trip.ID, err)
		}
		hop.setMessage(tracing.EventID(ev.Seq()), 0)
		return ev, recordMove(tx, m.Key, ev, payload)
	})
}

// updateTripRow writes the state of a trip if its version is the one before,
// and if neither its rider nor its driver has another active trip.
func updateTripRow(tx *statements, t trips.Trip) error {
	ctx := context.Background()

	if t.Version == 1 {
		_, err := tx.exec(ctx, `INSERT INTO trips (id, version, state, rider, driver, region, requested_at, ended_at)
			VALUES (?, 1, ?, ?, ?, ?, ?, ?)`, string(t.ID), string(t.State), string(t.Rider), driverOrNull(t.Driver),
			string(t.Region), t.RequestedAt.UnixMicro(), timeOrNull(t.EndedAt))
		return mapConstraint(err)
	}

	n, err := tx.exec(ctx, `UPDATE trips SET version = ?, state = ?, driver = ?, ended_at = ?
		WHERE id = ? AND version = ?`,
		t.Version, string(t.State), driverOrNull(t.Driver), timeOrNull(t.EndedAt), string(t.ID), int64(t.Version)-1)
	if err != nil {
		return mapConstraint(err)
	}
	if n == 1 {
		return nil
	}

	var version uint32
	if err := tx.queryOne(ctx, `SELECT version FROM trips WHERE id = ?`, []any{string(t.ID)}, &version); err != nil {
		return err
	}

	return fmt.Errorf("it has version %d, the move is from %d: %w", version, int64(t.Version)-1, trips.ErrConflict)
}

// recordMove stores the event, its outbox row and the command's result.
func recordMove(tx *statements, k trips.IdempotencyKey, ev trips.Event, payload []byte) error {
	ctx, id := context.Background(), string(ev.Trip.ID)
	if _, err := tx.exec(ctx, `INSERT INTO trip_events (trip_id, seq, kind, payload) VALUES (?, ?, ?, ?)`,
		id, ev.Seq(), string(ev.Kind), string(payload)); err != nil {
		return fmt.Errorf("trip %s: keep event %d: %w", id, ev.Seq(), err)
	}

	n := trips.OutboxMessage{Topic: trips.TopicTrip, Region: ev.Trip.Region, Kind: ev.Kind, Trip: ev.Trip.ID, Payload: payload}
	if err := addToOutbox(tx, n); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `INSERT INTO commands (actor_role, actor_id, id, print, trip_id, seq)
		VALUES (?, ?, ?, ?, ?, ?)`, string(k.Actor.Role), k.Actor.ID, k.ID, k.Fingerprint, id, ev.Seq()); err != nil {
		return fmt.Errorf("trip %s: keep command %s of %s: %w", id, k.ID, k.Actor, err)
	}
	return nil
}

// addToOutbox adds a row to the outbox.
func addToOutbox(tx *statements, n trips.OutboxMessage) error {
	if _, err := tx.exec(context.Background(), `INSERT INTO outbox (topic, region, kind, trip_id, payload, at)
		VALUES (?, ?, ?, ?, ?, ?)`, string(n.Topic), string(n.Region), string(n.Kind), string(n.Trip), string(n.Payload),
		time.Now().UnixMicro()); err != nil {
		return fmt.Errorf("trip %s: add to the outbox: %w", n.Trip, err)
	}
	return nil
}

// RecordedEvent returns what a command led to; see trips.Store.
func (s *tripStore) RecordedEvent(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	return recordedEvent(ctx, s.read, k)
}

// Abandon abandons a command; see trips.Store.
func (s *tripStore) Abandon(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	if err := k.CheckText(); err != nil {
		return trips.Event{}, err
	}
	n, err := writeCommitted(ctx, s.database, func(tx *statements) (int64, error) {
		return tx.exec(context.Background(), `INSERT INTO commands (actor_role, actor_id, id, print, trip_id, seq)
			VALUES (?, ?, ?, ?, '', 0) ON CONFLICT DO NOTHING`, string(k.Actor.Role), k.Actor.ID, k.ID, k.Fingerprint)
	})
	switch {
	case err != nil:
		return trips.Event{}, fmt.Errorf("give up command %s of %s: %w", k.ID, k.Actor, err)
	case n == 1:
		return trips.Event{}, fmt.Errorf("command %s of %s: %w", k.ID, k.Actor, trips.ErrAbandoned)
	}
	return s.RecordedEvent(ctx, k)
}

// recordedEvent returns what a command led to. Its errors are
// trips.ErrNotFound, ErrAbandoned and ErrKeyReused.
func recordedEvent(ctx context.Context, from *statements, k trips.IdempotencyKey) (trips.Event, error) {
	var printed string
	var payload []byte

	err := from.queryOne(ctx, `SELECT c.print, e.payload FROM commands c LEFT JOIN trip_events e USING (trip_id, seq)
		WHERE c.actor_role = ? AND c.actor_id = ? AND c.id = ?`,
		[]any{string(k.Actor.Role), k.Actor.ID, k.ID}, &printed, &payload)
	if err != nil {
		return trips.Event{}, fmt.Errorf("command %s of %s: %w", k.ID, k.Actor, err)
	}
	if payload == nil {
		return trips.Event{}, fmt.Errorf("command %s of %s: %w", k.ID, k.Actor, trips.ErrAbandoned)
	}
	if printed != k.Fingerprint {
		return trips.Event{}, fmt.Errorf("command %s of %s: %w", k.ID, k.Actor, trips.ErrKeyReused)
	}

	return decodeEvent(payload)
}
