package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// refundStore keeps refunds; see payments.RefundStore.
type refundStore struct{ *database }

// RequestRefund records that a trip's charge goes back; see
// payments.RefundStore.
func (s *refundStore) RequestRefund(ctx context.Context, id trips.TripID, reason string, at time.Time) (payments.Refund, error) {
	if err := trips.CheckText(string(id), reason); err != nil {
		return payments.Refund{}, err
	}
	err := s.retryWrite(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, askRefundSQL, id, payments.RefundReference(id), reason, storedTime(at))
		return err
	})
	if err != nil {
		return payments.Refund{}, fmt.Errorf("refund trip %s: %w", id, err)
	}
	return s.Refund(ctx, id)
}

// askRefundSQL takes the amount from the charge, so that without one there is
// nothing to give back.
const askRefundSQL = `
INSERT INTO refunds (trip_id, reference, minor, currency, reason, asked_at)
SELECT trip_id, $2, minor, currency, $3, $4 FROM charges WHERE trip_id = $1
ON CONFLICT (trip_id) DO UPDATE SET state = 'asked', ended_at = NULL, reason = excluded.reason,
  asked_at = excluded.asked_at
WHERE refunds.state = 'failed'`

// FinishRefund records what the provider made of a refund; see
// payments.RefundStore.
func (s *refundStore) FinishRefund(ctx context.Context, id trips.TripID, state payments.RefundState, providerID string,
	at time.Time) (payments.Refund, error) {
	err := s.retryWrite(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `UPDATE refunds SET state = $2, provider_id = $3, ended_at = $4
			WHERE trip_id = $1 AND state = 'asked'`, id, string(state), providerID, storedTime(at))
		return err
	})
	if err != nil {
		return payments.Refund{}, fmt.Errorf("end the refund of trip %s: %w", id, err)
	}
	return s.Refund(ctx, id)
}

const refundColumns = `SELECT trip_id, reference, minor, currency, reason, state, provider_id, asked_at, ended_at
FROM refunds `

func scanRefund(row pgx.CollectableRow) (r payments.Refund, err error) {
	var ended *time.Time
	err = row.Scan(&r.Trip, &r.Reference, &r.Amount.Minor, &r.Amount.Currency, &r.Reason, &r.State, &r.ProviderID,
		&r.RequestedAt, &ended)
	r.RequestedAt = r.RequestedAt.UTC()
	if ended != nil {
		r.EndedAt = ended.UTC()
	}
	return r, err
}

// Refund returns a trip's refund; see payments.RefundStore.
func (s *refundStore) Refund(ctx context.Context, id trips.TripID) (payments.Refund, error) {
	rs, err := queryAll(ctx, s.database, "refund of trip "+string(id), scanRefund,
		refundColumns+`WHERE trip_id = $1`, id)
	if err != nil {
		return payments.Refund{}, err
	}
	if len(rs) == 0 {
		return payments.Refund{}, fmt.Errorf("refund of trip %s: %w", id, trips.ErrNotFound)
	}
	return rs[0], nil
}

// OpenRefunds returns refunds that have no end yet; see payments.RefundStore.
func (s *refundStore) OpenRefunds(ctx context.Context, before time.Time, limit int) ([]payments.Refund, error) {
	return queryAll(ctx, s.database, "refunds without an end", scanRefund,
		refundColumns+`WHERE state = 'asked' AND asked_at < $1 ORDER BY asked_at, trip_id LIMIT $2`, before, limit)
}
