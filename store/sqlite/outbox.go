package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// clockSQL is the database's clock, in whole microseconds.
const clockSQL = `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`

// outboxStore keeps the outbox and the lease of its relay; see trips.Outbox.
type outboxStore struct{ *database }

// AcquireLease takes or extends the right to relay; see trips.Outbox.
func (s *outboxStore) AcquireLease(ctx context.Context, holder string, ttl time.Duration) (bool, error) {
	got, err := writeCommitted(ctx, s.database, func(tx *statements) (int64, error) {
		return tx.exec(context.Background(), `UPDATE relay SET holder = ?1, expires_at = `+clockSQL+` + ?2
			WHERE holder = ?1 OR expires_at <= `+clockSQL, holder, ttl.Microseconds())
	})
	if err != nil {
		return false, fmt.Errorf("lease of the outbox: %w", err)
	}
	return got == 1, nil
}

// PendingMessages returns the oldest messages after the cursor; see
// trips.Outbox.
func (s *outboxStore) PendingMessages(ctx context.Context, limit int) ([]trips.OutboxMessage, error) {
	var out []trips.OutboxMessage
	err := s.read.queryEach(ctx, `SELECT outbox.id, topic, outbox.region, outbox.kind, trip_id, payload, at,
		coalesce(rider, ''), coalesce(driver, '') FROM outbox LEFT JOIN trips ON trips.id = trip_id
		WHERE outbox.id > (SELECT cursor_id FROM relay) ORDER BY outbox.id LIMIT ?`, []any{max(0, limit)}, func(rows *sql.Rows) error {
		var n trips.OutboxMessage
		var at int64
		err := rows.Scan(&n.ID, &n.Topic, &n.Region, &n.Kind, &n.Trip, &n.Payload, &at, &n.Rider, &n.Driver)
		n.At = time.UnixMicro(at).UTC()
		out = append(out, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return out, nil
}

// AdvanceCursor moves the cursor and deletes what was relayed; see trips.Outbox.
func (s *outboxStore) AdvanceCursor(ctx context.Context, holder string, last trips.OutboxMessage) error {
	_, err := writeCommitted(ctx, s.database, func(tx *statements) (struct{}, error) {
		bg := context.Background()
		n, err := tx.exec(bg, `UPDATE relay SET cursor_id = max(cursor_id, ?)
			WHERE holder = ? AND expires_at > `+clockSQL, last.ID, holder)
		if err == nil && n == 0 {
			err = fmt.Errorf("%q has not the lease (any more)", holder)
		}
		if err == nil {
			_, err = tx.exec(bg, `DELETE FROM outbox WHERE id <= ?`, last.ID)
		}
		return struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("advance in the outbox: %w", err)
	}

	return nil
}

// Backlog counts messages not yet relayed and says when the oldest was written.
func (s *outboxStore) Backlog(ctx context.Context) (int, time.Time, error) {
	var n int
	var oldest sql.NullInt64

	err := s.read.queryOne(ctx, `SELECT count(*), min(at) FROM outbox WHERE id > (SELECT cursor_id FROM relay)`, nil,
		&n, &oldest)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count the outbox: %w", err)
	}
	if n == 0 {
		return 0, time.Time{}, nil
	}
	return n, time.UnixMicro(oldest.Int64).UTC(), nil
}
