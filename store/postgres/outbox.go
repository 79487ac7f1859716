package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/trips"
)

// outboxStore keeps the outbox and the leases of its shards; see trips.Outbox.
type outboxStore struct{ *database }

// shardCount is the number of rows of relay_shards.
const shardCount = 16

// ShardCount returns the number of shards; see trips.Outbox.
func (s *outboxStore) ShardCount() int { return shardCount }

// AcquireShards takes, extends and releases leases; see trips.Outbox.
func (s *outboxStore) AcquireShards(ctx context.Context, claim trips.ShardClaim) ([]string, error) {
	holders := make([]string, shardCount)
	// A nil slice would be NULL.
	held, err := queryAll(ctx, s.database, "leases of the outbox", scanShardHolder, acquireSQL,
		claim.Holder, append([]int{}, claim.Wished...), append([]int{}, claim.Released...), claim.TTL)
	for _, h := range held {
		holders[h.shard] = h.holder
		if h.written {
			s.noteCommit()
		}
	}
	return holders, err
}

// shardHolder is a shard's holder. written says that this statement wrote it.
type shardHolder struct {
	shard   int
	holder  string
	written bool
}

func scanShardHolder(row pgx.CollectableRow) (h shardHolder, err error) {
	return h, row.Scan(&h.shard, &h.holder, &h.written)
}

// acquireSQL is one statement, so that a node has one commit for all its shards.
//
// The nodes of this build together hold the row of relay, so that one of an
// earlier build does not relay beside them. They take it from such a node, which
// would publish where only its like listen. That lease lasts at least as long as
// each of a shard. It lasts twice as long when it is written, so that many nodes
// do not all write that row. A node that finds it too short, and then waits for
// another node that writes it, must write it too: its snapshot shows the old one.
//
// Rows are locked in order, so that two nodes cannot wait for each other. All
// moments are from before any wait: a lease then ends sooner than it might.
const acquireSQL = `
WITH moment AS MATERIALIZED (
  SELECT at AS now, at + $4::interval AS until FROM clock_timestamp() AS at
), extended AS (
  UPDATE relay SET holder = 'shards', expires_at = greatest(moment.until + $4::interval,
    CASE WHEN relay.holder = 'shards' THEN relay.expires_at END)
  FROM moment
  WHERE NOT (SELECT r.holder = 'shards' AND r.expires_at >= moment.until FROM relay r)
  RETURNING 1
), due AS (
  SELECT s.shard FROM relay_shards s, moment
  WHERE (EXISTS (SELECT FROM extended) OR (SELECT r.holder = 'shards' AND r.expires_at >= moment.until FROM relay r))
    AND (s.holder = $1 OR NOT s.shard = ANY ($3::int[])
      AND (s.expires_at <= moment.now OR s.holder = '' AND s.shard = ANY ($2::int[])))
  ORDER BY s.shard
  FOR UPDATE OF s
), written AS (
  UPDATE relay_shards s SET holder = CASE WHEN s.shard = ANY ($3::int[]) THEN '' ELSE $1 END, expires_at = moment.until
  FROM moment
  WHERE s.shard IN (SELECT due.shard FROM due)
  RETURNING s.shard, s.holder
)
SELECT s.shard, coalesce(w.holder, CASE WHEN s.expires_at > moment.now THEN s.holder ELSE '' END), w.shard IS NOT NULL
FROM moment, relay_shards s LEFT JOIN written w ON w.shard = s.shard`

// PendingMessages returns the oldest messages that nothing can precede any more;
// see trips.Outbox.
func (s *outboxStore) PendingMessages(ctx context.Context, shards []int, limit int) ([]trips.OutboxMessage, error) {
	return queryAll(ctx, s.database, "read the outbox", scanOutboxMessage, pendingSQL, shards, limit)
}

func scanOutboxMessage(row pgx.CollectableRow) (m trips.OutboxMessage, err error) {
	err = row.Scan(&m.Shard, &m.XID, &m.ID, &m.Topic, &m.Region, &m.Kind, &m.Trip, &m.Payload, &m.At, &m.Rider, &m.Driver)
	m.At = m.At.UTC()
	return m, err
}

// pendingSQL reads below the oldest running transaction, where nothing can be
// committed any more. It begins at each shard's cursor, and so does not walk
// over what is deleted.
const pendingSQL = `
SELECT o.shard, o.xid, o.id, o.topic, o.region, o.kind, o.trip_id, o.payload, o.at,
  coalesce(t.rider, ''), coalesce(t.driver, '')
FROM (
  SELECT next.* FROM relay_shards s CROSS JOIN LATERAL (
    SELECT * FROM outbox
    WHERE outbox.shard = s.shard AND (outbox.xid, outbox.id) > (s.cursor_xid, s.cursor_id)
      AND outbox.xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY outbox.xid, outbox.id LIMIT $2) next
  WHERE s.shard = ANY ($1::int[])
  ORDER BY next.xid, next.id LIMIT $2
) o LEFT JOIN trips t ON t.id = o.trip_id
ORDER BY o.xid, o.id`

// AdvanceCursor moves the cursors and deletes what was relayed; see trips.Outbox.
func (s *outboxStore) AdvanceCursor(ctx context.Context, holder string, told []trips.OutboxMessage) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	last := trips.LastOfShards(told)
	shards, xids, ids := make([]int, len(last)), make([]string, len(last)), make([]int64, len(last))
	for i, m := range last {
		shards[i], xids[i], ids[i] = m.Shard, strconv.FormatUint(m.XID, 10), m.ID
	}

	var mine int
	if err := s.pool.QueryRow(ctx, advanceSQL, holder, shards, xids, ids).Scan(&mine); err != nil {
		return fmt.Errorf("advance the relay: %w", err)
	}
	if mine < len(last) {
		return fmt.Errorf("advance the relay: %s: of %d shards, %d: %w", holder, len(last), len(last)-mine, errNoLease)
	}
	return nil
}

var errNoLease = errors.New("does not hold the lease; ask for it again")

// advanceSQL deletes from the old cursor of each shard on, which this statement
// still sees. So it never walks over the many rows that are deleted already.
const advanceSQL = `
WITH last AS (
  SELECT shard, xid::xid8, id FROM unnest($2::int[], $3::text[], $4::bigint[]) AS last (shard, xid, id)
), mine AS (
  UPDATE relay_shards s SET cursor_xid = greatest(s.cursor_xid, last.xid),
    cursor_id = CASE WHEN (s.cursor_xid, s.cursor_id) < (last.xid, last.id) THEN last.id ELSE s.cursor_id END
  FROM last
  WHERE s.shard = last.shard AND s.holder = $1 AND s.expires_at > clock_timestamp()
  RETURNING last.*
), told AS (
  DELETE FROM outbox USING mine, relay_shards before
  WHERE before.shard = mine.shard AND outbox.shard = mine.shard
    AND (outbox.xid, outbox.id) <= (mine.xid, mine.id)
    AND (outbox.xid, outbox.id) > (before.cursor_xid, before.cursor_id)
)
SELECT count(*) FROM mine`

// Backlog counts messages that are not relayed yet; see trips.Outbox.
func (s *outboxStore) Backlog(ctx context.Context) (n int, oldest time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	var at *time.Time
	err = s.read(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
			SELECT count(*), min(outbox.at) FROM outbox JOIN relay_shards s ON s.shard = outbox.shard
			WHERE (outbox.xid, outbox.id) > (s.cursor_xid, s.cursor_id)`).Scan(&n, &at)
	})
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count the outbox: %w", err)
	}
	if at != nil {
		oldest = at.UTC()
	}
	return n, oldest, nil
}
