package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// alertStore keeps calls for help; see sos.Store.
type alertStore struct{ *database }

// AddAlert keeps a call for help; see sos.Store.
func (s *alertStore) AddAlert(ctx context.Context, a sos.Alert) (sos.Alert, error) {
	if err := a.CheckText(); err != nil {
		return sos.Alert{}, err
	}
	a.At, a.Car.At = storedTime(a.At), storedTime(a.Car.At)
	out, err := writeCommitted(ctx, s.database, func(tx *statements) (sos.Alert, error) {
		was, err := findAlert(tx, `WHERE from_role = ? AND from_id = ? AND client_id = ?`, string(a.From.Role), a.From.ID, a.ClientID)
		switch {
		case errors.Is(err, sos.ErrNotFound):
			return a, insertAlert(tx, a)
		case err == nil && (was.Trip != a.Trip || was.Text != a.Text):
			return was, fmt.Errorf("id %q: %w", a.ClientID, trips.ErrKeyReused)
		}
		return was, err
	})
	if err != nil {
		return sos.Alert{}, fmt.Errorf("alert on trip %s: %w", a.Trip, err)
	}

	return out, nil
}

func insertAlert(tx *statements, a sos.Alert) error {
	var lng, lat any
	if !a.Car.At.IsZero() {
		lng, lat = a.Car.Lng, a.Car.Lat
	}
	if err := addAlertToOutbox(tx, a, sos.KindSOS); err != nil {
		return err
	}

	_, err := tx.exec(context.Background(), `INSERT INTO alerts
		(id, trip_id, from_role, from_id, client_id, text, car_lng, car_lat, car_at, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.ID, string(a.Trip), string(a.From.Role), a.From.ID, a.ClientID, a.Text, lng, lat, timeOrNull(a.Car.At),
		a.At.UnixMicro())

	return err
}

// addAlertToOutbox adds an outbox row, or says that there is no such trip.
func addAlertToOutbox(tx *statements, a sos.Alert, kind trips.Kind) error {
	var region location.Region
	err := tx.queryOne(context.Background(), `SELECT region FROM trips WHERE id = ?`, []any{string(a.Trip)}, &region)
	if err != nil {
		return err
	}

	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return addToOutbox(tx, trips.OutboxMessage{Topic: sos.TopicAlert, Region: region, Kind: kind, Trip: a.Trip, Payload: payload})
}

// MarkNotified marks a trip's alerts as shown to operators; see sos.Store.
func (s *alertStore) MarkNotified(ctx context.Context, id trips.TripID, at time.Time) ([]sos.Alert, error) {
	at = storedTime(at)
	raised, err := writeCommitted(ctx, s.database, func(tx *statements) ([]sos.Alert, error) {
		found, err := findAlerts(context.Background(), tx, `WHERE trip_id = ? AND raised_at IS NULL ORDER BY at, id`, string(id))
		if err != nil || len(found) == 0 {
			return nil, err
		}

		for i := range found {
			found[i].NotifiedAt = at
		}
		_, err = tx.exec(context.Background(), `UPDATE alerts SET raised_at = ? WHERE trip_id = ? AND raised_at IS NULL`,
			at.UnixMicro(), string(id))
		return found, err
	})
	if err != nil {
		return nil, fmt.Errorf("raise alerts of trip %s: %w", id, err)
	}

	return raised, nil
}

// AcknowledgeAlert acknowledges an alert; see sos.Store.
func (s *alertStore) AcknowledgeAlert(ctx context.Context, id string, at time.Time) (sos.Alert, error) {
	out, err := writeCommitted(ctx, s.database, func(tx *statements) (sos.Alert, error) {
		a, err := findAlert(tx, `WHERE id = ?`, id)
		if err != nil || !a.AckedAt.IsZero() {
			return a, err
		}
		a.AckedAt = storedTime(at)
		if _, err := tx.exec(context.Background(), `UPDATE alerts SET acked_at = ? WHERE id = ?`, a.AckedAt.UnixMicro(), id); err != nil {
			return a, err
		}
		return a, addAlertToOutbox(tx, a, "")
	})
	if err != nil {
		return sos.Alert{}, fmt.Errorf("acknowledge alert %s: %w", id, err)
	}

	return out, nil
}

// OpenAlerts returns the alerts without an acknowledgement; see sos.Store.
func (s *alertStore) OpenAlerts(ctx context.Context, limit int) ([]sos.Alert, error) {
	found, err := findAlerts(ctx, s.read, `WHERE acked_at IS NULL ORDER BY at DESC, id DESC LIMIT ?`, max(0, limit))
	if err != nil {
		return nil, fmt.Errorf("open alerts: %w", err)
	}
	return found, nil
}

// AlertsOf returns a person's alerts on a trip; see sos.Store.
func (s *alertStore) AlertsOf(ctx context.Context, who trips.Actor, id trips.TripID) ([]sos.Alert, error) {
	found, err := findAlerts(ctx, s.read, `WHERE trip_id = ? AND from_role = ? AND from_id = ? ORDER BY at, id`,
		string(id), string(who.Role), who.ID)
	if err != nil {
		return nil, fmt.Errorf("alerts of trip %s: %w", id, err)
	}
	return found, nil
}

// findAlert returns the first alert of a condition, or sos.ErrNotFound.
func findAlert(from *statements, where string, args ...any) (sos.Alert, error) {
	found, err := findAlerts(context.Background(), from, where, args...)
	if err == nil && len(found) == 0 {
		err = sos.ErrNotFound
	}
	if err != nil {
		return sos.Alert{}, err
	}
	return found[0], nil
}

func findAlerts(ctx context.Context, from *statements, where string, args ...any) (out []sos.Alert, err error) {
	err = yieldAlerts(ctx, from, where, args, func(a sos.Alert) error {
		out = append(out, a)
		return nil
	})
	return out, err
}

func yieldAlerts(ctx context.Context, from *statements, where string, args []any, yield func(sos.Alert) error) error {
	return from.queryEach(ctx, `SELECT id, trip_id, from_role, from_id, client_id, text, car_lng, car_lat, car_at, at, raised_at,
		acked_at FROM alerts `+where, args, func(rows *sql.Rows) error {
		var a sos.Alert
		var lng, lat sql.NullFloat64

		var car, raised, acked sql.NullInt64
		var at int64
		if err := rows.Scan(&a.ID, &a.Trip, &a.From.Role, &a.From.ID, &a.ClientID, &a.Text, &lng, &lat, &car, &at, &raised,
			&acked); err != nil {
			return err
		}

		a.Car.Lng, a.Car.Lat, a.Car.At = lng.Float64, lat.Float64, nullableTime(car)
		a.At, a.NotifiedAt, a.AckedAt = time.UnixMicro(at).UTC(), nullableTime(raised), nullableTime(acked)
		return yield(a)
	})
}

// nullableTime reads a time that may be NULL; zero stands for NULL.
func nullableTime(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return time.UnixMicro(us.Int64).UTC()
}
