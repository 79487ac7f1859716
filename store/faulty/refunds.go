package faulty

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// refundStore keeps refunds; see payments.RefundStore.
type refundStore struct{ *state }

// RequestRefund records that a charge goes back; see payments.RefundStore.
func (s *refundStore) RequestRefund(ctx context.Context, id trips.TripID, reason string, at time.Time) (payments.Refund, error) {
	return runCall(ctx, s.state, "ask refund", string(id), func() (payments.Refund, error) {
		if err := trips.CheckText(string(id), reason); err != nil {
			return payments.Refund{}, err
		}
		c, err := lookUp(s.charges, id)
		if err != nil {
			return payments.Refund{}, err
		}

		r, asked := s.refunds[id]
		if asked && r.State != payments.RefundFailed {
			return r, nil
		}
		s.refunds[id] = payments.Refund{Trip: id, Reference: payments.RefundReference(id), Amount: c.Amount, Reason: reason,
			State: payments.RefundRequested, ProviderID: r.ProviderID, RequestedAt: storedTime(at)}
		return s.refunds[id], nil
	})
}

// FinishRefund records what the provider made of a refund; see
// payments.RefundStore.
func (s *refundStore) FinishRefund(ctx context.Context, id trips.TripID, state payments.RefundState, providerID string,
	at time.Time) (payments.Refund, error) {
	return runCall(ctx, s.state, "end refund", string(id), func() (payments.Refund, error) {
		r, err := lookUp(s.refunds, id)
		if err != nil || r.State != payments.RefundRequested {
			return r, err
		}

		r.State, r.ProviderID, r.EndedAt = state, providerID, storedTime(at)
		s.refunds[id] = r

		if state == payments.RefundDone {
			c := s.charges[id]
			c.Refunded = r.Amount
			s.charges[id] = c
		}

		return r, nil
	})
}

// Refund returns a trip's refund; see payments.RefundStore.
func (s *refundStore) Refund(ctx context.Context, id trips.TripID) (payments.Refund, error) {
	return runCall(ctx, s.state, "refund", string(id), func() (payments.Refund, error) { return lookUp(s.refunds, id) })
}

// OpenRefunds returns refunds that have no end yet; see payments.RefundStore.
func (s *refundStore) OpenRefunds(ctx context.Context, before time.Time, limit int) ([]payments.Refund, error) {
	return runCall(ctx, s.state, "open refunds", "", func() ([]payments.Refund, error) {
		var out []payments.Refund
		for _, r := range s.refunds {
			if r.State == payments.RefundRequested && r.RequestedAt.Before(storedTime(before)) {
				out = append(out, r)
			}
		}

		slices.SortFunc(out, func(a, b payments.Refund) int {
			return cmp.Or(a.RequestedAt.Compare(b.RequestedAt), cmp.Compare(a.Trip, b.Trip))
		})
		return out[:min(max(0, limit), len(out))], nil
	})
}
