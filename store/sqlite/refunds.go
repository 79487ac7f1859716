package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

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
	_, err := writeCommitted(ctx, s.database, func(tx *statements) (int64, error) {
		return tx.exec(context.Background(), `INSERT INTO refunds (trip_id, reference, minor, currency, reason, asked_at)
			SELECT trip_id, ?, minor, currency, ?, ? FROM charges WHERE trip_id = ?
			ON CONFLICT (trip_id) DO UPDATE SET state = 'asked', ended_at = NULL, reason = excluded.reason,
			asked_at = excluded.asked_at WHERE refunds.state = 'failed'`,
			payments.RefundReference(id), reason, storedTime(at).UnixMicro(), string(id))
	})
	if err != nil {
		return payments.Refund{}, fmt.Errorf("refund trip %s: %w", id, err)
	}
	return s.Refund(ctx, id)
}

// FinishRefund records what the provider made of a refund; see
// payments.RefundStore.
func (s *refundStore) FinishRefund(ctx context.Context, id trips.TripID, state payments.RefundState, providerID string,
	at time.Time) (payments.Refund, error) {
	_, err := writeCommitted(ctx, s.database, func(tx *statements) (int64, error) {
		return tx.exec(context.Background(), `UPDATE refunds SET state = ?, provider_id = ?, ended_at = ?
			WHERE trip_id = ? AND state = 'asked'`, string(state), providerID, storedTime(at).UnixMicro(), string(id))
	})
	if err != nil {
		return payments.Refund{}, fmt.Errorf("end the refund of trip %s: %w", id, err)
	}
	return s.Refund(ctx, id)
}

// Refund returns a trip's refund, or trips.ErrNotFound.
func (s *refundStore) Refund(ctx context.Context, id trips.TripID) (payments.Refund, error) {
	var found []payments.Refund
	err := yieldRefunds(ctx, s.read, `WHERE trip_id = ?`, []any{string(id)}, appendTo(&found))
	if err == nil && len(found) == 0 {
		err = trips.ErrNotFound
	}
	if err != nil {
		return payments.Refund{}, fmt.Errorf("refund of trip %s: %w", id, err)
	}
	return found[0], nil
}

// OpenRefunds returns refunds that have no end yet, oldest first.
func (s *refundStore) OpenRefunds(ctx context.Context, until time.Time, limit int) ([]payments.Refund, error) {
	var found []payments.Refund
	err := yieldRefunds(ctx, s.read, `WHERE state = 'asked' AND asked_at < ? ORDER BY asked_at, trip_id LIMIT ?`,
		[]any{firstMicrosecondFrom(until), max(0, limit)}, appendTo(&found))
	if err != nil {
		return nil, fmt.Errorf("refunds without an end: %w", err)
	}
	return found, nil
}

// appendTo returns a function that appends to a list.
func appendTo(list *[]payments.Refund) func(payments.Refund) error {
	return func(r payments.Refund) error {
		*list = append(*list, r)
		return nil
	}
}

func yieldRefunds(ctx context.Context, from *statements, where string, args []any, take func(payments.Refund) error) error {
	return from.queryEach(ctx, `SELECT trip_id, reference, minor, currency, reason, state, provider_id, asked_at, ended_at
		FROM refunds `+where, args, func(rows *sql.Rows) error {
		var r payments.Refund
		var asked int64
		var ended sql.NullInt64
		if err := rows.Scan(&r.Trip, &r.Reference, &r.Amount.Minor, &r.Amount.Currency, &r.Reason, &r.State,
			&r.ProviderID, &asked, &ended); err != nil {
			return err
		}

		r.RequestedAt = time.UnixMicro(asked).UTC()
		if ended.Valid {
			r.EndedAt = time.UnixMicro(ended.Int64).UTC()
		}
		return take(r)
	})
}
