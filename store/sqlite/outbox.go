package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// clockSQL is the database's clock, in whole microseconds.
const clockSQL = `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`

// outboxStore keeps the outbox and the lease of its relay; see trips.Outbox.
type outboxStore struct{ *database }

// ShardCount returns 1: a file has one node; see trips.Outbox.
func (s *outboxStore) ShardCount() int { return 1 }

// AcquireShards takes, extends or releases the lease; see trips.Outbox.
func (s *outboxStore) AcquireShards(ctx context.Context, claim trips.ShardClaim) ([]string, error) {
	next := claim.Holder
	if slices.Contains(claim.Released, 0) {
		next = ""
	}

	holders := make([]string, 1)
	_, err := writeCommitted(ctx, s.database, func(tx *statements) (struct{}, error) {
		bg := context.Background()
		_, err := tx.exec(bg, `UPDATE relay_shards SET holder = ?1, expires_at = `+clockSQL+` + ?2
			WHERE holder = ?3 OR ?1 <> '' AND (expires_at <= `+clockSQL+` OR holder = '' AND ?4)`,
			next, claim.TTL.Microseconds(), claim.Holder, slices.Contains(claim.Wished, 0))
		if err == nil {
			err = tx.queryOne(bg, `SELECT iif(expires_at > `+clockSQL+`, holder, '') FROM relay_shards`, nil, &holders[0])
		}
		return struct{}{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("lease of the outbox: %w", err)
	}
	return holders, nil
}

// PendingMessages returns the oldest messages after the cursor; see
// trips.Outbox.
func (s *outboxStore) PendingMessages(ctx context.Context, shards []int, limit int) ([]trips.OutboxMessage, error) {
	if !slices.Contains(shards, 0) {
		return nil, nil
	}

	var out []trips.OutboxMessage
	err := s.read.queryEach(ctx, `SELECT o.id, o.topic, o.region, o.kind, o.trip_id, o.payload, o.at,
			coalesce(t.rider, ''), coalesce(t.driver, '')
		FROM outbox o LEFT JOIN trips t ON t.id = o.trip_id
		WHERE o.id > (SELECT cursor_id FROM relay_shards) ORDER BY o.id LIMIT ?`, []any{max(0, limit)}, func(rows *sql.Rows) error {
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
func (s *outboxStore) AdvanceCursor(ctx context.Context, holder string, told []trips.OutboxMessage) error {
	if len(told) == 0 {
		return nil
	}

	last := told[len(told)-1].ID
	_, err := writeCommitted(ctx, s.database, func(tx *statements) (struct{}, error) {
		bg := context.Background()
		n, err := tx.exec(bg, `UPDATE relay_shards SET cursor_id = max(cursor_id, ?)
			WHERE holder = ? AND expires_at > `+clockSQL, last, holder)
		if err == nil && n == 0 {
			err = fmt.Errorf("%q has not the lease (any more)", holder)
		}
		if err == nil {
			_, err = tx.exec(bg, `DELETE FROM outbox WHERE id <= ?`, last)
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

	err := s.read.queryOne(ctx, `SELECT count(*), min(at) FROM outbox WHERE id > (SELECT cursor_id FROM relay_shards)`, nil,
		&n, &oldest)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count the outbox: %w", err)
	}
	if n == 0 {
		return 0, time.Time{}, nil
	}
	return n, time.UnixMicro(oldest.Int64).UTC(), nil
}
