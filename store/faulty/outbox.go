package faulty

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// outboxStore keeps the outbox and the leases of its shards; see trips.Outbox.
type outboxStore struct{ *state }

// shardCount is that of Postgres.
const shardCount = 16

// ShardCount returns the number of shards; see trips.Outbox.
func (s *outboxStore) ShardCount() int { return shardCount }

// AcquireShards takes, extends and releases leases; see trips.Outbox.
func (s *outboxStore) AcquireShards(ctx context.Context, claim trips.ShardClaim) ([]string, error) {
	return runCall(ctx, s.state, "lease", claim.Holder, func() ([]string, error) {
		return s.leases.Acquire(claim, time.Now()), nil
	})
}

// PendingMessages returns what must still be relayed; see trips.Outbox.
func (s *outboxStore) PendingMessages(ctx context.Context, shards []int, limit int) ([]trips.OutboxMessage, error) {
	return runCall(ctx, s.state, "pending", "", func() ([]trips.OutboxMessage, error) {
		var found []trips.OutboxMessage
		for _, m := range s.outbox {
			if len(found) >= limit {
				break
			}
			if slices.Contains(shards, m.Shard) {
				t := s.trips[m.Trip]
				m.Rider, m.Driver = t.Rider, t.Driver
				found = append(found, m)
			}
		}
		return found, nil
	})
}

// AdvanceCursor deletes what was relayed; see trips.Outbox.
func (s *outboxStore) AdvanceCursor(ctx context.Context, holder string, told []trips.OutboxMessage) error {
	_, err := runCall(ctx, s.state, "advance", holder, func() (_ struct{}, err error) {
		holders := s.leases.Holders(time.Now())
		for _, last := range trips.LastOfShards(told) {
			if holder == "" || holders[last.Shard] != holder {
				err = fmt.Errorf("%q has not the lease of shard %d (any more)", holder, last.Shard)
				continue
			}
			s.outbox = slices.DeleteFunc(s.outbox, func(m trips.OutboxMessage) bool { return m.Shard == last.Shard && m.ID <= last.ID })
		}
		return struct{}{}, err
	})
	return err
}

// Backlog counts what must still be relayed; see trips.Outbox.
func (s *outboxStore) Backlog(ctx context.Context) (n int, oldest time.Time, err error) {
	_, err = runCall(ctx, s.state, "backlog", "", func() (struct{}, error) {
		if n = len(s.outbox); n > 0 {
			oldest = s.outbox[0].At
		}
		return struct{}{}, nil
	})
	return n, oldest, err
}

// CommitSignal receives after commits that added to the outbox, so that a
// simulated relay need not poll. Signals merge.
func (s *outboxStore) CommitSignal() <-chan struct{} { return s.wake }
