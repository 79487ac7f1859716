package payments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/text"
	"github.com/ridehail/ridehail/trips"
)

// RefundReference returns the reference of a trip's refund in our books.
func RefundReference(id trips.TripID) string { return "refund-" + string(id) }

// RefundState is how far a refund has come.
type RefundState string

// The states of a refund. A failed one is requested again when an operator asks
// again.
const (
	// RefundRequested is a recorded refund; the provider may or may not know of
	// it.
	RefundRequested RefundState = "asked"
	RefundDone      RefundState = "done"
	RefundFailed    RefundState = "failed"
)

// Refund is the whole charge of a wrongly completed trip on its way back to the
// rider.
type Refund struct {
	Trip      trips.TripID `json:"trip"`
	Reference string       `json:"reference"`
	Amount    trips.Money  `json:"amount"`
	Reason    string       `json:"reason"`
	State     RefundState  `json:"state"`
	// ProviderID is the provider's id of the refund, once it is done or failed.
	ProviderID  string    `json:"provider_id,omitempty"`
	RequestedAt time.Time `json:"asked_at"`
	EndedAt     time.Time `json:"ended_at,omitzero"`
}

// RefundStore keeps refunds. Its methods may block on I/O and may be called
// from many goroutines.
type RefundStore interface {
	// RequestRefund records that a trip's whole charge is to be given back.
	// Called again for the same trip it changes nothing and returns the first
	// refund, unless that failed: then it is requested again, for the new
	// reason. It returns trips.ErrNotFound for a trip without a charge.
	RequestRefund(ctx context.Context, id trips.TripID, reason string, at time.Time) (Refund, error)
	// FinishRefund records the provider's result of a refund that was
	// requested. A refund that is done or failed stays so.
	FinishRefund(ctx context.Context, id trips.TripID, state RefundState, providerID string, at time.Time) (Refund, error)
	// Refund returns a trip's refund, or trips.ErrNotFound.
	Refund(ctx context.Context, id trips.TripID) (Refund, error)
	// OpenRefunds returns refunds requested before a time that are neither done
	// nor failed, oldest first, at most limit.
	OpenRefunds(ctx context.Context, before time.Time, limit int) ([]Refund, error)
}

// maxReasonBytes bounds an operator's reason, in bytes.
const maxReasonBytes = 500

// RefundTrip gives the whole charge of a trip back, once. The result may still
// be RefundRequested: then the provider is working on it, and settlement jobs
// follow it to its end. A trip that was never charged is trips.ErrNotFound.
func (s *Settler) RefundTrip(ctx context.Context, id trips.TripID, reason string) (Refund, error) {
	if !text.IsID(string(id)) {
		return Refund{}, fmt.Errorf("trip %q: %w", id, trips.ErrNotFound)
	}
	if reason == "" || len(reason) > maxReasonBytes || !text.IsKeepable(reason) {
		return Refund{}, fmt.Errorf("refund trip %s: give a reason of 1 to %d bytes of UTF-8", id, maxReasonBytes)
	}
	if _, err := s.Refunds.RequestRefund(ctx, id, reason, s.Now()); err != nil {
		return Refund{}, err
	}

	var r Refund
	var err error
	for try := range s.maxTries() {
		if try > 0 && s.backOff(ctx, try, nil) != nil {
			break
		}
		r, err = s.advanceRefund(ctx, id)
		if p := new(PermanentError); errors.As(err, &p) || (err == nil && r.State != RefundRequested) {
			break
		}
	}

	return r, err
}

// advanceRefund takes a requested refund one step further. It asks the provider
// for existing refunds before it requests one, so that a refund whose answer
// was lost is found and not repeated.
func (s *Settler) advanceRefund(ctx context.Context, id trips.TripID) (Refund, error) {
	r, err := s.Refunds.Refund(ctx, id)
	if err != nil || r.State != RefundRequested {
		return r, err
	}

	c, err := s.Charges.Charge(ctx, id)
	if err != nil {
		return r, err
	}
	if err := s.waitForBudget(ctx, nil); err != nil {
		return r, fmt.Errorf("%s: %w", r.Reference, err)
	}

	p, err := s.ensureProviderRefund(ctx, r, c)
	s.Budget.RecordResult(isAnswer(err))
	if errors.Is(err, ErrRefused) {
		return r, &PermanentError{err}
	}
	if err != nil || p.Status == RefundRequested {
		return r, err
	}
	if p.Status == RefundDone && p.Amount != c.Amount {
		return r, &PermanentError{fmt.Errorf("%s: provider gave %v back instead of %v; a person must look: %w",
			r.Reference, p.Amount, c.Amount, ErrRefused)}
	}

	return s.Refunds.FinishRefund(ctx, id, p.Status, p.ID, s.Now())
}

// ensureProviderRefund returns the provider's refund of a charge. It requests one if
// there is none, or only the failed one that we already know of.
func (s *Settler) ensureProviderRefund(ctx context.Context, r Refund, c Charge) (ProviderRefund, error) {
	all, err := s.Provider.ListRefunds(ctx, c.ProviderID)
	if err != nil {
		return ProviderRefund{}, err
	}

	for _, p := range all {
		if p.Status != RefundFailed {
			return p, nil
		}
	}

	if len(all) > 0 && all[0].ID != r.ProviderID {
		return all[0], nil
	}
	return s.Provider.CreateRefund(ctx, RefundOrder{Transaction: c.Reference, Amount: c.Amount, Reason: r.Reason})
}
