package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// auditSource streams everything that is stored; see audit.Source.
type auditSource struct{ *database }

// AuditTrips yields every trip, by id. What the guards look at is taken from
// the trip's row and the rest from its last event, so that an audit sees a
// difference.
func (s *auditSource) AuditTrips(ctx context.Context, yield func(trips.Trip) error) error {
	return s.streamRows(ctx, `
		SELECT t.id, t.version, t.state, t.rider, coalesce(t.driver, ''), t.region, e.payload
		FROM trips t LEFT JOIN trip_events e ON e.trip_id = t.id AND e.seq = t.version ORDER BY t.id`,
		func(row pgx.CollectableRow) error {
			var own trips.Trip
			var payload []byte
			err := row.Scan(&own.ID, &own.Version, &own.State, &own.Rider, &own.Driver, &own.Region, &payload)
			if err != nil || payload == nil {
				return yieldUnless(err, yield, own)
			}

			ev, err := decodeEvent(payload)
			t := ev.Trip
			t.ID, t.Version, t.State = own.ID, own.Version, own.State
			t.Rider, t.Driver, t.Region = own.Rider, own.Driver, own.Region
			return yieldUnless(err, yield, t)
		})
}

// AuditEvents yields every event with its stored number, in the order of
// commits.
func (s *auditSource) AuditEvents(ctx context.Context, yield func(seq uint32, ev trips.Event) error) error {
	return s.streamRows(ctx, `SELECT seq, payload FROM trip_events ORDER BY n`, func(row pgx.CollectableRow) error {
		var seq uint32
		var payload []byte
		if err := row.Scan(&seq, &payload); err != nil {
			return err
		}

		ev, err := decodeEvent(payload)
		if err != nil {
			return err
		}
		return yield(seq, ev)
	})
}

// AuditChat yields every message by trip and number.
func (s *auditSource) AuditChat(ctx context.Context, yield func(chat.Message) error) error {
	return s.streamRows(ctx, chatColumns+`ORDER BY trip_id COLLATE "C", seq`, func(row pgx.CollectableRow) error {
		m, err := scanMessage(row)
		return yieldUnless(err, yield, m)
	})
}

// AuditCharges yields every charge by trip.
func (s *auditSource) AuditCharges(ctx context.Context, yield func(payments.Charge) error) error {
	return s.streamRows(ctx, chargeColumns+`ORDER BY c.trip_id`, func(row pgx.CollectableRow) error {
		c, err := scanCharge(row)
		return yieldUnless(err, yield, c)
	})
}

// AuditRefunds yields every refund by trip.
func (s *auditSource) AuditRefunds(ctx context.Context, yield func(payments.Refund) error) error {
	return s.streamRows(ctx, refundColumns+`ORDER BY trip_id`, func(row pgx.CollectableRow) error {
		r, err := scanRefund(row)
		return yieldUnless(err, yield, r)
	})
}

// AuditAlerts yields every call for help by time.
func (s *auditSource) AuditAlerts(ctx context.Context, yield func(sos.Alert) error) error {
	return s.streamRows(ctx, alertColumns+`ORDER BY at, id`, func(row pgx.CollectableRow) error {
		a, err := scanAlert(row)
		return yieldUnless(err, yield, a)
	})
}

// yieldUnless yields v unless reading it failed.
func yieldUnless[T any](err error, yield func(T) error, v T) error {
	if err != nil {
		return err
	}
	return yield(v)
}

// streamRows reads rows one by one, in one snapshot and without the time limit
// of a statement. It stops at the first error of each.
func (s *auditSource) streamRows(ctx context.Context, sql string, each func(pgx.CollectableRow) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on`); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := each(rows); err != nil {
				return err
			}
		}

		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}

	return nil
}
