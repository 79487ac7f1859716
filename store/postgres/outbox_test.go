package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// What a node of an earlier build does to relay, and how it reads the outbox.
const (
	earlierLease = `UPDATE relay SET holder = $1, expires_at = clock_timestamp() + $2::interval
		WHERE holder = $1 OR expires_at <= clock_timestamp()`
	earlierPending = `SELECT count(*) FROM outbox
		WHERE (outbox.xid, outbox.id) > (SELECT cursor_xid, cursor_id FROM relay) AND outbox.xid < pg_snapshot_xmin(pg_current_snapshot())`
)

// earlierNode is a node of an earlier build that asks for the lease.
func earlierNode(t *testing.T, s *Store, ttl time.Duration) (got bool) {
	t.Helper()
	tag, err := s.pool.Exec(t.Context(), earlierLease, "earlier", ttl)
	if err != nil {
		t.Error(err)
	}
	return tag.RowsAffected() == 1
}

// countHeld returns how many shards a node has after it asked.
func countHeld(t *testing.T, s *Store, holder string, ttl time.Duration) (n int) {
	t.Helper()
	holders, err := s.AcquireShards(t.Context(), trips.ShardClaim{Holder: holder, TTL: ttl})
	if err != nil {
		t.Error(err)
	}
	for _, h := range holders {
		if h == holder {
			n++
		}
	}
	return n
}

func TestTheShardsAreTakenFromANodeOfAnEarlierBuild(t *testing.T) {
	s := openStore(t, createDatabase(t))
	if !earlierNode(t, s, time.Hour) {
		t.Fatal("the earlier node has no lease")
	}

	if n := countHeld(t, s, "new", time.Second); n != shardCount {
		t.Errorf("beside it a node has %d shards", n)
	}
	if earlierNode(t, s, time.Hour) {
		t.Error("the earlier node relays beside the shards")
	}
	if n := countHeld(t, s, "another", time.Second); n != 0 {
		t.Errorf("another node has %d shards of the first", n)
	}
}

// TestTheSharedLeaseOutlivesEachShards lets nodes renew with leases of all
// lengths: the row that nodes of earlier builds ask for must be held for as long
// as any shard is.
func TestTheSharedLeaseOutlivesEachShards(t *testing.T) {
	s := openStore(t, createDatabase(t))
	for i := range 40 {
		ttl := time.Duration(i*i%17) * 100 * time.Millisecond
		countHeld(t, s, fmt.Sprint("node-", i%3), ttl)
		var holds bool
		if err := s.pool.QueryRow(t.Context(), `SELECT relay.holder = 'shards' AND relay.expires_at >= max(s.expires_at)
			FROM relay, relay_shards s GROUP BY relay.holder, relay.expires_at`).Scan(&holds); err != nil {
			t.Fatal(err)
		}
		if !holds {
			t.Fatalf("claim %d: a shard's lease is longer than the shared one", i)
		}
	}
}

// TestNodesThatRenewAtOnceKeepTheirShards has leases so short that the shared one
// must be extended all the time, by nodes that wait for each other.
func TestNodesThatRenewAtOnceKeepTheirShards(t *testing.T) {
	at := createDatabase(t)
	s := openStore(t, at)
	runIn(t, at, `UPDATE relay_shards SET holder = 'node-' || shard % 8, expires_at = clock_timestamp() + interval '1 minute'`)
	var nodes sync.WaitGroup
	for i := range 8 {
		nodes.Go(func() {
			for try := range 30 {
				if n := countHeld(t, s, fmt.Sprint("node-", i), time.Minute+time.Duration(try)*time.Minute); n != 2 {
					t.Errorf("node %d has %d shards", i, n)
				}
				if earlierNode(t, s, time.Hour) {
					t.Error("an earlier node relays beside the shards")
				}
			}
		})
	}
	nodes.Wait()
}

func TestANodeOfAnEarlierBuildStillWritesAndReadsTheOutbox(t *testing.T) {
	s := openStore(t, createDatabase(t))
	applyMove(t, s, newRequest(t, "ada"))
	const write = `INSERT INTO outbox (topic, region, kind, trip_id, payload) VALUES ('trip', 'there', '', 'theirs', '{}')`
	if _, err := s.pool.Exec(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	if n, _, err := s.Backlog(t.Context()); err != nil || n != 2 {
		t.Errorf("backlog %d, %v", n, err)
	}

	// What the shards have told, it does not tell again.
	countHeld(t, s, "new", time.Hour)
	told := awaitPending(t, s, 2)
	if err := s.AdvanceCursor(t.Context(), "new", told[:1]); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := s.pool.QueryRow(t.Context(), earlierPending).Scan(&left); err != nil || left != 1 {
		t.Errorf("it would tell %d, %v", left, err)
	}
	for _, m := range told {
		if want := trips.ShardOf(m.Region, shardCount); m.Shard != want {
			t.Errorf("region %q is in shard %d, not %d", m.Region, m.Shard, want)
		}
	}
}

// awaitPending waits until n messages may be relayed: another database's
// transaction may run.
func awaitPending(t *testing.T, s *Store, n int) []trips.OutboxMessage {
	t.Helper()
	for {
		told, err := s.PendingMessages(t.Context(), trips.AllShards(s), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(told) >= n {
			return told
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTheOutboxIsReadByItsShards has many rows, as after an outage of Redis.
func TestTheOutboxIsReadByItsShards(t *testing.T) {
	at := createDatabase(t)
	s := openStore(t, at)
	runIn(t, at, `INSERT INTO outbox (topic, region, kind, trip_id, payload)
		SELECT 'trip', 'region-' || n % 100, '', 'trip-' || n, '{}' FROM generate_series(1, 20000) n`, `ANALYZE outbox, relay_shards, trips`)

	for name, query := range map[string]struct {
		sql  string
		args []any
	}{
		"pending": {pendingSQL, []any{trips.AllShards(s), 256}},
		"advance": {advanceSQL, []any{"a", []int{1, 2}, []string{"9", "9"}, []int64{1, 2}}},
	} {
		plan := explainQuery(t, s, query.sql, query.args...)
		if strings.Contains(plan, "Seq Scan on outbox") || strings.Contains(plan, "Seq Scan on trips") {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}

func explainQuery(t *testing.T, s *Store, sql string, args ...any) string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), "EXPLAIN "+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

// BenchmarkRelayLease measures what a node asks of the database each second.
func BenchmarkRelayLease(b *testing.B) {
	s, err := Open(b.Context(), createDatabase(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	for b.Loop() {
		if _, err := s.AcquireShards(context.Background(), trips.ShardClaim{Holder: "a", TTL: 3 * time.Second}); err != nil {
			b.Fatal(err)
		}
	}
}
