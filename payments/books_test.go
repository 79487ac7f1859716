package payments_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// memoryStore keeps trips, charges and refunds in memory.
type memoryStore struct {
	mu      sync.Mutex
	trips   map[trips.TripID]trips.Trip
	charges map[trips.TripID]payments.Charge
	refunds map[trips.TripID]payments.Refund
	changed chan struct{} // of size 1: something was settled or ended
}

func (b *memoryStore) signalChange() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// waitFor returns when the condition, checked under the lock, holds.
func (b *memoryStore) waitFor(t *testing.T, wanted func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b.mu.Lock()
		done := wanted()
		b.mu.Unlock()

		if done {
			return
		}

		select {
		case <-b.changed:
		case <-ctx.Done():
			t.Fatal("the books never came to that")
		}
	}
}

func (b *memoryStore) Trip(_ context.Context, id trips.TripID) (trips.Trip, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.trips[id]
	if !ok {
		return t, trips.ErrNotFound
	}
	return t, nil
}

func (b *memoryStore) RecordCharge(_ context.Context, c payments.Charge) (payments.Charge, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if was, ok := b.charges[c.Trip]; ok {
		return was, nil
	}
	b.charges[c.Trip] = c
	b.signalChange()
	return c, nil
}

func (b *memoryStore) Charge(_ context.Context, id trips.TripID) (payments.Charge, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.charges[id]
	if !ok {
		return c, trips.ErrNotFound
	}
	return c, nil
}

func (b *memoryStore) UnchargedTrips(_ context.Context, before time.Time, limit int) ([]trips.Trip, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	var out []trips.Trip
	for id, t := range b.trips {
		if _, paid := b.charges[id]; !paid && t.State == trips.Completed && t.EndedAt.Before(before) {
			out = append(out, t)
		}
	}

	slices.SortFunc(out, func(a, b trips.Trip) int { return cmp.Or(a.EndedAt.Compare(b.EndedAt), cmp.Compare(a.ID, b.ID)) })
	return out[:min(limit, len(out))], nil
}

func (b *memoryStore) RiderCharges(context.Context, trips.RiderID, int) ([]payments.Charge, error) {
	return nil, nil
}

func (b *memoryStore) RequestRefund(_ context.Context, id trips.TripID, reason string, at time.Time) (payments.Refund, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	c, charged := b.charges[id]
	r, asked := b.refunds[id]
	switch {
	case !charged:
		return r, trips.ErrNotFound
	case !asked:
		r = payments.Refund{Trip: id, Reference: payments.RefundReference(id), Amount: c.Amount}
	case r.State != payments.RefundFailed:
		return r, nil
	}

	r.State, r.Reason, r.RequestedAt, r.EndedAt = payments.RefundRequested, reason, at, time.Time{}
	b.refunds[id] = r
	return r, nil
}

func (b *memoryStore) FinishRefund(_ context.Context, id trips.TripID, state payments.RefundState, providerID string,
	at time.Time) (payments.Refund, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	r, ok := b.refunds[id]
	if !ok {
		return r, trips.ErrNotFound
	}

	if r.State == payments.RefundRequested {
		r.State, r.ProviderID, r.EndedAt = state, providerID, at
		b.refunds[id] = r
		b.signalChange()
	}

	return r, nil
}

func (b *memoryStore) Refund(_ context.Context, id trips.TripID) (payments.Refund, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.refunds[id]
	if !ok {
		return r, trips.ErrNotFound
	}
	return r, nil
}

func (b *memoryStore) OpenRefunds(_ context.Context, before time.Time, _ int) (open []payments.Refund, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.refunds {
		if r.State == payments.RefundRequested && r.RequestedAt.Before(before) {
			open = append(open, r)
		}
	}
	return open, nil
}
