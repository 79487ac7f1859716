package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/trips"
)

// outboxStore keeps the outbox and the lease of its relay; see trips.Outbox.
type outboxStore struct{ *database }

// AcquireLease takes or extends the right to relay; see trips.Outbox.
func (s *outboxStore) AcquireLease(ctx context.Context, holder string, ttl time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	tag, err := s.pool.Exec(ctx, `
		UPDATE relay SET holder = $1, expires_at = clock_timestamp() + $2::interval
		WHERE holder = $1 OR expires_at <= clock_timestamp()`, holder, ttl)
	if err != nil {
		return false, fmt.Errorf("relay lease of %s: %w", holder, err)
	}
	return tag.RowsAffected() == 1, nil
}

// PendingMessages returns the oldest messages that nothing can precede any more;
// see trips.Outbox.
func (s *outboxStore) PendingMessages(ctx context.Context, limit int) ([]trips.OutboxMessage, error) {
	return queryAll(ctx, s.database, "read the outbox", scanOutboxMessage, pendingSQL, limit)
}

func scanOutboxMessage(row pgx.CollectableRow) (m trips.OutboxMessage, err error) {
	err = row.Scan(&m.XID, &m.ID, &m.Topic, &m.Region, &m.Kind, &m.Trip, &m.Payload, &m.At, &m.Rider, &m.Driver)
	m.At = m.At.UTC()
	return m, err
}

// pendingSQL reads below the oldest running transaction, where nothing can be
// committed any more. Columns are named with their table, because ORDER BY
// would otherwise take a column of the result.
const pendingSQL = `
SELECT outbox.xid, outbox.id, outbox.topic, outbox.region, outbox.kind, outbox.trip_id, outbox.payload, outbox.at,
  coalesce(t.rider, ''), coalesce(t.driver, '')
FROM outbox LEFT JOIN trips t ON t.id = outbox.trip_id
WHERE (outbox.xid, outbox.id) > (SELECT cursor_xid, cursor_id FROM relay)
  AND outbox.xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY outbox.xid, outbox.id
LIMIT $1`

// AdvanceCursor moves the cursor and deletes what was relayed; see trips.Outbox.
func (s *outboxStore) AdvanceCursor(ctx context.Context, holder string, last trips.OutboxMessage) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	var mine bool
	if err := s.pool.QueryRow(ctx, advanceSQL, holder, last.XID, last.ID).Scan(&mine); err != nil {
		return fmt.Errorf("advance the relay: %w", err)
	}
	if !mine {
		return fmt.Errorf("advance the relay: %s: %w", holder, errNoLease)
	}
	return nil
}

var errNoLease = errors.New("does not hold the lease; ask for it again")

// advanceSQL deletes from the old cursor on, which this statement still sees.
// So it never walks over the many rows that are deleted already.
const advanceSQL = `
WITH mine AS (
  UPDATE relay SET cursor_xid = greatest(cursor_xid, $2::xid8),
    cursor_id = CASE WHEN (cursor_xid, cursor_id) < ($2::xid8, $3::bigint) THEN $3::bigint ELSE cursor_id END
  WHERE holder = $1 AND expires_at > clock_timestamp()
  RETURNING 1
), told AS (
  DELETE FROM outbox USING mine
  WHERE (outbox.xid, outbox.id) <= ($2::xid8, $3::bigint)
    AND (outbox.xid, outbox.id) > (SELECT cursor_xid, cursor_id FROM relay)
)
SELECT EXISTS (SELECT FROM mine)`

// Backlog counts messages that are not relayed yet; see trips.Outbox.
func (s *outboxStore) Backlog(ctx context.Context) (n int, oldest time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	var at *time.Time
	err = s.read(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
			SELECT count(*), min(at) FROM outbox
			WHERE (outbox.xid, outbox.id) > (SELECT cursor_xid, cursor_id FROM relay)`).Scan(&n, &at)
	})
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count the outbox: %w", err)
	}
	if at != nil {
		oldest = at.UTC()
	}
	return n, oldest, nil
}
