package faulty

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// Append keeps what was said; see chat.Store.
func (s *Store) Append(ctx context.Context, m chat.Message, region string) (chat.Message, error) {
	m.At = kept(m.At)
	return call(ctx, s, "append", m.ClientID, func() (chat.Message, error) {
		if _, err := found(s.trips, m.Trip); err != nil {
			return chat.Message{}, err
		}
		for _, was := range s.said[m.Trip] {
			if was.From != m.From || was.ClientID != m.ClientID {
				continue
			}
			if was.Text != m.Text {
				return chat.Message{}, trips.ErrKeyReused
			}
			return was, nil
		}
		m.Seq = uint32(len(s.said[m.Trip]) + 1)
		s.said[m.Trip] = append(s.said[m.Trip], m)
		return m, s.tell(trips.TopicChat, location.Region(region), "", m.Trip, m)
	})
}

// History returns what was said; see chat.Store.
func (s *Store) History(ctx context.Context, id trips.TripID, after uint32, limit int) ([]chat.Message, error) {
	return call(ctx, s, "history", string(id), func() ([]chat.Message, error) {
		all := s.said[id]
		all = all[min(int(after), len(all)):]
		return slices.Clone(all[:min(max(0, limit), len(all))]), nil
	})
}

// Settle records a charge; see payments.Store.
func (s *Store) Settle(ctx context.Context, c payments.Charge) (payments.Charge, error) {
	c.At = kept(c.At)
	return call(ctx, s, "settle", string(c.Trip), func() (payments.Charge, error) {
		if was, ok := s.charges[c.Trip]; ok {
			return was, nil
		}
		t, err := found(s.trips, c.Trip)
		if err != nil {
			return payments.Charge{}, err
		}
		if t.State != trips.Completed {
			return payments.Charge{}, fmt.Errorf("it is %s: %w", t.State, trips.ErrBadMove)
		}
		s.charges[c.Trip] = c
		return c, s.tell(trips.TopicReceipt, t.Region, "", c.Trip, c)
	})
}

// Charge returns a trip's charge; see payments.Store.
func (s *Store) Charge(ctx context.Context, id trips.TripID) (payments.Charge, error) {
	return call(ctx, s, "charge", string(id), func() (payments.Charge, error) { return found(s.charges, id) })
}

// Uncharged returns completed trips without a charge; see payments.Store.
func (s *Store) Uncharged(ctx context.Context, before time.Time, limit int) ([]trips.Trip, error) {
	return call(ctx, s, "uncharged", "", func() ([]trips.Trip, error) {
		due := func(t trips.Trip) bool {
			_, paid := s.charges[t.ID]
			return !paid && t.State == trips.Completed && t.EndedAt.Before(kept(before))
		}
		return s.pick(s.trips, due, limit, func(t trips.Trip) time.Time { return t.EndedAt }), nil
	})
}

// Receipts returns a rider's charges; see payments.Store.
func (s *Store) Receipts(ctx context.Context, rider trips.RiderID, limit int) ([]payments.Charge, error) {
	return call(ctx, s, "receipts", string(rider), func() ([]payments.Charge, error) {
		var out []payments.Charge
		for _, c := range s.charges {
			if c.Rider == rider {
				out = append(out, c)
			}
		}
		slices.SortFunc(out, func(a, b payments.Charge) int {
			return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Trip, a.Trip))
		})
		return out[:min(max(0, limit), len(out))], nil
	})
}

// Lease takes or extends the right to relay; see trips.Outbox.
func (s *Store) Lease(ctx context.Context, holder string, ttl time.Duration) (bool, error) {
	return call(ctx, s, "lease", holder, func() (bool, error) {
		now := time.Now()
		if s.holder != holder && now.Before(s.leased) {
			return false, nil
		}
		s.holder, s.leased = holder, now.Add(ttl)
		return true, nil
	})
}

// Pending returns what must still be told; see trips.Outbox.
func (s *Store) Pending(ctx context.Context, limit int) ([]trips.Notice, error) {
	return call(ctx, s, "pending", "", func() ([]trips.Notice, error) {
		return slices.Clone(s.outbox[:min(max(0, limit), len(s.outbox))]), nil
	})
}

// Advance moves the cursor; see trips.Outbox.
func (s *Store) Advance(ctx context.Context, holder string, last trips.Notice) error {
	_, err := call(ctx, s, "advance", holder, func() (struct{}, error) {
		if s.holder != holder || !time.Now().Before(s.leased) {
			return struct{}{}, fmt.Errorf("%q has not the lease (any more)", holder)
		}
		s.told = max(s.told, last.ID)
		first := slices.IndexFunc(s.outbox, func(n trips.Notice) bool { return n.ID > s.told })
		if first < 0 {
			first = len(s.outbox)
		}
		s.outbox = s.outbox[first:]
		return struct{}{}, nil
	})
	return err
}

// Backlog counts what must still be told; see trips.Outbox.
func (s *Store) Backlog(ctx context.Context) (n int, oldest time.Time, err error) {
	_, err = call(ctx, s, "backlog", "", func() (struct{}, error) {
		if n = len(s.outbox); n > 0 {
			oldest = s.outbox[0].At
		}
		return struct{}{}, nil
	})
	return n, oldest, err
}

// Wake is signalled after commits that added to the outbox, so that a simulated relay need not poll.
func (s *Store) Wake() <-chan struct{} { return s.wake }

// AuditTrips yields every trip; no fault befalls an auditor.
func (s *Store) AuditTrips(_ context.Context, yield func(trips.Trip) error) error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.trips))
	s.mu.Unlock()
	return each(all, yield)
}

// AuditEvents yields every event in the order of commits.
func (s *Store) AuditEvents(_ context.Context, yield func(seq uint32, ev trips.Event) error) error {
	s.mu.Lock()
	all := slices.Clone(s.log)
	s.mu.Unlock()
	return each(all, func(ev trips.Event) error { return yield(ev.Seq(), ev) })
}

// AuditChat yields every message by trip and number.
func (s *Store) AuditChat(_ context.Context, yield func(chat.Message) error) error {
	s.mu.Lock()
	var all []chat.Message
	for _, id := range slices.Sorted(maps.Keys(s.said)) {
		all = append(all, s.said[id]...)
	}
	s.mu.Unlock()
	return each(all, yield)
}

// AuditCharges yields every charge.
func (s *Store) AuditCharges(_ context.Context, yield func(payments.Charge) error) error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.charges))
	s.mu.Unlock()
	return each(all, yield)
}

func each[T any](all []T, yield func(T) error) error {
	for _, v := range all {
		if err := yield(v); err != nil {
			return err
		}
	}
	return nil
}
