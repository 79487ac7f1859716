package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// chargeStore keeps charges; see payments.Store.
type chargeStore struct{ *database }

// RecordCharge records that a trip was paid; see payments.Store.
func (s *chargeStore) RecordCharge(ctx context.Context, c payments.Charge) (payments.Charge, error) {
	c.At = storedTime(c.At)
	receipt, err := json.Marshal(c)
	if err != nil {
		return payments.Charge{}, fmt.Errorf("settle trip %s: %w", c.Trip, err)
	}

	var settled bool
	err = s.retryWrite(ctx, s.traceWrite(c.Trip, func() tracing.Hop { return chargeHop(settled) }, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, settleSQL, c.Trip, c.Rider, c.Reference, c.Amount.Minor, c.Amount.Currency,
			c.ProviderID, c.At, string(receipt)).Scan(&settled)
	}))
	if err != nil {
		return payments.Charge{}, fmt.Errorf("settle trip %s: %w", c.Trip, err)
	}
	if settled {
		return c, nil
	}

	return s.findEarlierCharge(ctx, c.Trip)
}

// chargeHop returns the hop of recording a charge.
func chargeHop(settled bool) tracing.Hop {
	h := tracing.ChargeRecorded.Hop(tracing.Charge, 0)
	if settled {
		h.Key = "commit:" + tracing.ReceiptID
	} else {
		h.Code, h.Reason = "known", "The charge had been recorded, or the trip is not completed."
	}
	return h
}

// settleSQL settles a completed trip that was not settled yet. Two that
// run at once take turns at the trip's row.
const settleSQL = `
WITH settled AS (
  UPDATE trips SET charged = true WHERE id = $1 AND state = 'completed' AND NOT charged RETURNING id, region
), kept AS (
  INSERT INTO charges (trip_id, rider, reference, minor, currency, provider_id, at)
  SELECT id, $2, $3, $4, $5, $6, $7 FROM settled
), told AS (
  INSERT INTO outbox (topic, region, kind, trip_id, payload) SELECT 'receipt', region, '', id, $8::json FROM settled
)
SELECT EXISTS (SELECT FROM settled)`

// findEarlierCharge returns the charge of a trip that cannot be settled now, or
// the reason why there is none.
func (s *chargeStore) findEarlierCharge(ctx context.Context, id trips.TripID) (payments.Charge, error) {
	c, err := s.Charge(ctx, id)
	if !errors.Is(err, trips.ErrNotFound) {
		return c, err
	}

	t, err := s.queryTrip(ctx, "trip "+string(id), currentTripSQL+`WHERE t.id = $1`, id)
	if err != nil {
		return payments.Charge{}, err
	}
	return payments.Charge{}, &trips.MoveError{Trip: id, From: t.State, Move: "settlement"}
}

const chargeColumns = `SELECT c.trip_id, c.rider, c.reference, c.minor, c.currency, c.provider_id, c.at,
  coalesce(r.minor, 0), coalesce(r.currency, '')
FROM charges c LEFT JOIN refunds r ON r.trip_id = c.trip_id AND r.state = 'done' `

func scanCharge(row pgx.CollectableRow) (c payments.Charge, err error) {
	err = row.Scan(&c.Trip, &c.Rider, &c.Reference, &c.Amount.Minor, &c.Amount.Currency, &c.ProviderID, &c.At,
		&c.Refunded.Minor, &c.Refunded.Currency)
	c.At = c.At.UTC()
	return c, err
}

// Charge returns a trip's charge; see payments.Store.
func (s *chargeStore) Charge(ctx context.Context, id trips.TripID) (payments.Charge, error) {
	cs, err := queryAll(ctx, s.database, "charge of trip "+string(id), scanCharge,
		chargeColumns+`WHERE c.trip_id = $1`, id)
	if err != nil {
		return payments.Charge{}, err
	}
	if len(cs) == 0 {
		return payments.Charge{}, fmt.Errorf("charge of trip %s: %w", id, trips.ErrNotFound)
	}
	return cs[0], nil
}

// RiderCharges returns a rider's charges; see payments.Store.
func (s *chargeStore) RiderCharges(ctx context.Context, rider trips.RiderID, limit int) ([]payments.Charge, error) {
	return queryAll(ctx, s.database, "receipts of "+string(rider), scanCharge,
		chargeColumns+`WHERE c.rider = $1 ORDER BY c.at DESC, c.trip_id DESC LIMIT $2`, rider, limit)
}

// UnchargedTrips returns completed trips without a charge; see payments.Store.
func (s *chargeStore) UnchargedTrips(ctx context.Context, before time.Time, limit int) ([]trips.Trip, error) {
	return s.queryTrips(ctx, "trips without a charge", currentTripSQL+`WHERE t.state = 'completed' AND NOT t.charged
		AND t.ended_at < $1 ORDER BY t.ended_at, t.id LIMIT $2`, before, limit)
}
