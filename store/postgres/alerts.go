package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

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
	var lng, lat *float64
	var carAt *time.Time
	a.At = storedTime(a.At)
	if !a.Car.At.IsZero() {
		a.Car.At = storedTime(a.Car.At)
		lng, lat, carAt = &a.Car.Lng, &a.Car.Lat, &a.Car.At
	}
	payload, err := json.Marshal(a)
	if err != nil {
		return sos.Alert{}, fmt.Errorf("alert on trip %s: %w", a.Trip, err)
	}

	err = s.retryWrite(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, keepAlertSQL, a.ID, a.Trip, a.From.Role, a.From.ID, a.ClientID, a.Text, lng, lat, carAt,
			a.At, string(payload))
		return err
	})
	if err != nil {
		return sos.Alert{}, fmt.Errorf("alert on trip %s: %w", a.Trip, err)
	}

	kept, err := queryAll(ctx, s.database, "alert on trip "+string(a.Trip), scanAlert,
		alertColumns+`WHERE from_role = $1 AND from_id = $2 AND client_id = $3`, a.From.Role, a.From.ID, a.ClientID)
	switch {
	case err != nil:
		return sos.Alert{}, err
	case len(kept) == 0:
		return sos.Alert{}, fmt.Errorf("alert on trip %s: %w", a.Trip, trips.ErrNotFound)
	case kept[0].Trip != a.Trip || kept[0].Text != a.Text:
		return sos.Alert{}, fmt.Errorf("alert %q of %s: %w", a.ClientID, a.From, trips.ErrKeyReused)
	}
	return kept[0], nil
}

// keepAlertSQL keeps a new alert and adds it to the outbox. Without its trip it
// keeps nothing.
const keepAlertSQL = `
WITH kept AS (
  INSERT INTO alerts (id, trip_id, from_role, from_id, client_id, text, car_lng, car_lat, car_at, at)
  SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10 FROM trips WHERE id = $2
  ON CONFLICT (from_role, from_id, client_id) DO NOTHING RETURNING trip_id
)
INSERT INTO outbox (topic, region, kind, trip_id, payload)
SELECT 'alert', t.region, 'sos', t.id, $11::json FROM kept k JOIN trips t ON t.id = k.trip_id`

// MarkNotified marks a trip's alerts as shown to operators; see sos.Store.
func (s *alertStore) MarkNotified(ctx context.Context, id trips.TripID, at time.Time) ([]sos.Alert, error) {
	var raised []sos.Alert
	err := s.retryWrite(ctx, func(ctx context.Context) (err error) {
		raised, err = queryAll(ctx, s.database, "raise", scanAlert, `WITH raised AS (
			UPDATE alerts SET raised_at = $2 WHERE trip_id = $1 AND raised_at IS NULL RETURNING *)
			`+alertFields+`FROM raised ORDER BY at, id`, id, storedTime(at))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("alerts of trip %s: %w", id, err)
	}
	return raised, nil
}

// AcknowledgeAlert acknowledges an alert; see sos.Store.
func (s *alertStore) AcknowledgeAlert(ctx context.Context, id string, at time.Time) (sos.Alert, error) {
	a, err := s.findAlert(ctx, id)
	if err != nil || !a.AckedAt.IsZero() {
		return a, err
	}

	a.AckedAt = storedTime(at)
	payload, err := json.Marshal(a)
	if err != nil {
		return sos.Alert{}, fmt.Errorf("alert %s: %w", id, err)
	}

	err = s.retryWrite(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, ackAlertSQL, id, a.AckedAt, string(payload))
		return err
	})
	if err != nil {
		return sos.Alert{}, fmt.Errorf("acknowledge alert %s: %w", id, err)
	}

	return s.findAlert(ctx, id)
}

const ackAlertSQL = `
WITH acked AS (
  UPDATE alerts SET acked_at = $2 WHERE id = $1 AND acked_at IS NULL RETURNING trip_id
)
INSERT INTO outbox (topic, region, kind, trip_id, payload)
SELECT 'alert', t.region, '', t.id, $3::json FROM acked a JOIN trips t ON t.id = a.trip_id`

func (s *alertStore) findAlert(ctx context.Context, id string) (sos.Alert, error) {
	found, err := queryAll(ctx, s.database, "alert "+id, scanAlert, alertColumns+`WHERE id = $1`, id)
	if err != nil {
		return sos.Alert{}, err
	}
	if len(found) == 0 {
		return sos.Alert{}, fmt.Errorf("alert %s: %w", id, sos.ErrNotFound)
	}
	return found[0], nil
}

// OpenAlerts returns the alerts without an acknowledgement; see sos.Store.
func (s *alertStore) OpenAlerts(ctx context.Context, limit int) ([]sos.Alert, error) {
	return queryAll(ctx, s.database, "open alerts", scanAlert,
		alertColumns+`WHERE acked_at IS NULL ORDER BY at DESC, id DESC LIMIT $1`, limit)
}

// AlertsOf returns a person's alerts on a trip; see sos.Store.
func (s *alertStore) AlertsOf(ctx context.Context, who trips.Actor, id trips.TripID) ([]sos.Alert, error) {
	return queryAll(ctx, s.database, "alerts of trip "+string(id), scanAlert,
		alertColumns+`WHERE trip_id = $1 AND from_role = $2 AND from_id = $3 ORDER BY at, id`, id, who.Role, who.ID)
}

const (
	alertFields  = `SELECT id, trip_id, from_role, from_id, client_id, text, car_lng, car_lat, car_at, at, raised_at, acked_at `
	alertColumns = alertFields + `FROM alerts `
)

func scanAlert(row pgx.CollectableRow) (a sos.Alert, err error) {
	var lng, lat *float64
	var carAt, raised, acked *time.Time
	err = row.Scan(&a.ID, &a.Trip, &a.From.Role, &a.From.ID, &a.ClientID, &a.Text, &lng, &lat, &carAt, &a.At, &raised, &acked)
	a.At = a.At.UTC()
	if carAt != nil && lng != nil && lat != nil {
		a.Car.Lng, a.Car.Lat, a.Car.At = *lng, *lat, carAt.UTC()
	}
	if raised != nil {
		a.NotifiedAt = raised.UTC()
	}
	if acked != nil {
		a.AckedAt = acked.UTC()
	}
	return a, err
}
