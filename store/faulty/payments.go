package faulty

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// chargeStore keeps charges; see payments.Store.
type chargeStore struct{ *state }

// RecordCharge records a charge; see payments.Store.
func (s *chargeStore) RecordCharge(ctx context.Context, c payments.Charge) (payments.Charge, error) {
	c.At = storedTime(c.At)
	return runCall(ctx, s.state, "settle", string(c.Trip), func() (payments.Charge, error) {
		if was, ok := s.charges[c.Trip]; ok {
			return was, nil
		}
		t, err := lookUp(s.trips, c.Trip)
		if err != nil {
			return payments.Charge{}, err
		}
		if t.State != trips.Completed {
			return payments.Charge{}, fmt.Errorf("it is %s: %w", t.State, trips.ErrBadMove)
		}

		s.charges[c.Trip] = c
		return c, s.addOutboxLocked(trips.TopicReceipt, t.Region, "", c.Trip, c)
	})
}

// Charge returns a trip's charge; see payments.Store.
func (s *chargeStore) Charge(ctx context.Context, id trips.TripID) (payments.Charge, error) {
	return runCall(ctx, s.state, "charge", string(id), func() (payments.Charge, error) { return lookUp(s.charges, id) })
}

// UnchargedTrips returns completed trips without a charge; see payments.Store.
func (s *chargeStore) UnchargedTrips(ctx context.Context, before time.Time, limit int) ([]trips.Trip, error) {
	return runCall(ctx, s.state, "uncharged", "", func() ([]trips.Trip, error) {
		due := func(t trips.Trip) bool {
			_, paid := s.charges[t.ID]
			return !paid && t.State == trips.Completed && t.EndedAt.Before(storedTime(before))
		}
		return selectTrips(s.trips, due, limit, func(t trips.Trip) time.Time { return t.EndedAt }), nil
	})
}

// RiderCharges returns a rider's charges; see payments.Store.
func (s *chargeStore) RiderCharges(ctx context.Context, rider trips.RiderID, limit int) ([]payments.Charge, error) {
	return runCall(ctx, s.state, "receipts", string(rider), func() ([]payments.Charge, error) {
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
