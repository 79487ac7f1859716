package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// chargeStore keeps charges; see payments.Store.
type chargeStore struct{ *database }

// RecordCharge records that a trip was paid; see payments.Store.
func (s *chargeStore) RecordCharge(ctx context.Context, c payments.Charge) (payments.Charge, error) {
	c.At = storedTime(c.At)
	hop := s.hopOf(tracing.ChargeRecorded, tracing.Charge, c.Trip)
	out, err := writeTraced(ctx, s.database, hop, func(tx *statements) (payments.Charge, error) {
		was, err := findCharge(context.Background(), tx, c.Trip)
		if !errors.Is(err, trips.ErrNotFound) {
			return was, err
		}
		hop.setMessage(tracing.ReceiptID, 0)
		return insertCharge(tx, c)
	})
	if err != nil {
		return payments.Charge{}, fmt.Errorf("settle trip %s: %w", c.Trip, err)
	}
	return out, nil
}

// insertCharge charges a completed trip and adds the receipt to the outbox.
func insertCharge(tx *statements, c payments.Charge) (payments.Charge, error) {
	var none payments.Charge
	ctx, id := context.Background(), string(c.Trip)

	var state trips.State
	var region location.Region
	if err := tx.queryOne(ctx, `SELECT state, region FROM trips WHERE id = ?`, []any{id}, &state, &region); err != nil {
		return none, err
	}
	if state != trips.Completed {
		return none, fmt.Errorf("it is %s: %w", state, trips.ErrBadMove)
	}
	if _, err := tx.exec(ctx, `INSERT INTO charges (trip_id, rider, reference, minor, currency, provider_id, at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, id, string(c.Rider), c.Reference, c.Amount.Minor, c.Amount.Currency, c.ProviderID,
		c.At.UnixMicro()); err != nil {
		return none, err
	}
	if _, err := tx.exec(ctx, `UPDATE trips SET charged = 1 WHERE id = ?`, id); err != nil {
		return none, err
	}

	payload, err := json.Marshal(c)
	if err != nil {
		return none, err
	}

	return c, addToOutbox(tx, trips.OutboxMessage{Topic: trips.TopicReceipt, Region: region, Trip: c.Trip, Payload: payload})
}

// Charge returns a trip's charge, or trips.ErrNotFound.
func (s *chargeStore) Charge(ctx context.Context, id trips.TripID) (payments.Charge, error) {
	c, err := findCharge(ctx, s.read, id)
	if err != nil {
		return c, fmt.Errorf("charge of trip %s: %w", id, err)
	}
	return c, nil
}

const chargeSQL = `SELECT c.trip_id, c.rider, c.reference, c.minor, c.currency, c.provider_id, c.at,
	coalesce(r.minor, 0), coalesce(r.currency, '')
	FROM charges c LEFT JOIN refunds r ON r.trip_id = c.trip_id AND r.state = 'done' `

func findCharge(ctx context.Context, from *statements, id trips.TripID) (payments.Charge, error) {
	var c payments.Charge
	var at int64
	if err := from.queryOne(ctx, chargeSQL+`WHERE c.trip_id = ?`, []any{string(id)}, chargeFields(&c, &at)...); err != nil {
		return payments.Charge{}, err
	}
	c.At = time.UnixMicro(at).UTC()
	return c, nil
}

// chargeFields are the targets of the columns of chargeSQL.
func chargeFields(c *payments.Charge, at *int64) []any {
	return []any{&c.Trip, &c.Rider, &c.Reference, &c.Amount.Minor, &c.Amount.Currency, &c.ProviderID, at,
		&c.Refunded.Minor, &c.Refunded.Currency}
}

// UnchargedTrips returns trips completed before a time that have no charge,
// oldest first.
func (s *chargeStore) UnchargedTrips(ctx context.Context, until time.Time, limit int) ([]trips.Trip, error) {
	return s.queryTrips(ctx, `state = 'completed' AND charged = 0 AND ended_at < ? ORDER BY ended_at, id LIMIT ?`,
		firstMicrosecondFrom(until), max(0, limit))
}

// RiderCharges returns a rider's charges, newest first.
func (s *chargeStore) RiderCharges(ctx context.Context, rider trips.RiderID, limit int) ([]payments.Charge, error) {
	var out []payments.Charge
	err := yieldCharges(ctx, s.read, `WHERE c.rider = ? ORDER BY c.at DESC, c.trip_id DESC LIMIT ?`, []any{string(rider), max(0, limit)},
		func(c payments.Charge) error {
			out = append(out, c)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("receipts of rider %s: %w", rider, err)
	}
	return out, nil
}

func yieldCharges(ctx context.Context, from *statements, where string, args []any, take func(payments.Charge) error) error {
	return from.queryEach(ctx, chargeSQL+where, args, func(rows *sql.Rows) error {
		var c payments.Charge
		var at int64
		if err := rows.Scan(chargeFields(&c, &at)...); err != nil {
			return err
		}
		c.At = time.UnixMicro(at).UTC()
		return take(c)
	})
}
