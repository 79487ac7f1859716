package faulty

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// outboxStore keeps the outbox and the lease of its relay; see trips.Outbox.
type outboxStore struct{ *state }

// AcquireLease takes or extends the right to relay; see trips.Outbox.
func (s *outboxStore) AcquireLease(ctx context.Context, holder string, ttl time.Duration) (bool, error) {
	return runCall(ctx, s.state, "lease", holder, func() (bool, error) {
		now := time.Now()
		if s.holder != holder && now.Before(s.leasedUntil) {
			return false, nil
		}
		s.holder, s.leasedUntil = holder, now.Add(ttl)
		return true, nil
	})
}

// PendingMessages returns what must still be relayed; see trips.Outbox.
func (s *outboxStore) PendingMessages(ctx context.Context, limit int) ([]trips.OutboxMessage, error) {
	return runCall(ctx, s.state, "pending", "", func() ([]trips.OutboxMessage, error) {
		return slices.Clone(s.outbox[:min(max(0, limit), len(s.outbox))]), nil
	})
}

// AdvanceCursor moves the cursor; see trips.Outbox.
func (s *outboxStore) AdvanceCursor(ctx context.Context, holder string, last trips.OutboxMessage) error {
	_, err := runCall(ctx, s.state, "advance", holder, func() (struct{}, error) {
		if s.holder != holder || !time.Now().Before(s.leasedUntil) {
			return struct{}{}, fmt.Errorf("%q has not the lease (any more)", holder)
		}
		s.cursor = max(s.cursor, last.ID)

		first := slices.IndexFunc(s.outbox, func(n trips.OutboxMessage) bool { return n.ID > s.cursor })
		if first < 0 {
			first = len(s.outbox)
		}
		s.outbox = s.outbox[first:]
		return struct{}{}, nil
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
