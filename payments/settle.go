package payments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Provider takes money and gives it back. Methods may block on I/O and must
// respect ctx; their errors are those of this package.
type Provider interface {
	Charge(ctx context.Context, o Order) (Payment, error)
	Verify(ctx context.Context, reference string) (Payment, error)
	Repay(ctx context.Context, o RepayOrder) (Repayment, error)
	// Repayments returns what became of every Repay of a payment, newest first.
	Repayments(ctx context.Context, paymentID string) ([]Repayment, error)
}

// TripReader is what a settler needs of the store of trips.
type TripReader interface {
	Trip(ctx context.Context, id trips.TripID) (trips.Trip, error)
}

// Settler takes the fare of completed trips, and gives it back when an operator
// asks. It keeps nothing of a trip; Handle is the handler of the settlement
// jobs.
type Settler struct {
	Trips    TripReader
	Charges  Store
	Refunds  Refunds
	Provider Provider
	// a made-up card when nil
	Card func(trips.RiderID) (email, authorization string)
	Now  func() time.Time
	// charges, refunds or questions within one job; 3 when zero, then the job
	// comes back later
	Tries int
	// top of the first wait between them, doubling; 200 ms when zero
	Backoff time.Duration
	// a trip that ended longer ago may have been charged before: verify first;
	// 3 s when zero
	Fresh  time.Duration
	Budget *Budget // of the node, for what it asks again; nil: no bound
}

// ErrResting says that the provider fails and must not be asked again now.
var ErrResting = errors.New("the provider fails, and this trip has to wait until it answers")

// PermanentError is a failure that no repetition will cure; a queue that asks
// Permanent gives the job up.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string   { return e.Err.Error() }
func (e *PermanentError) Unwrap() error   { return e.Err }
func (e *PermanentError) Permanent() bool { return true }

// Handle puts the money of the trip that the job is named after in order:
// charged, and refunded if that was asked for. Again for a trip in order it
// does nothing. What the provider still works on, or has to wait until it
// answers, is no failure: its webhook or the reconciler comes back to it.
func (s *Settler) Handle(ctx context.Context, jobID string, _ []byte) error {
	id := trips.TripID(jobID)
	_, err := s.Settle(ctx, id)
	if err == nil {
		if _, err = s.advanceRefund(ctx, id); errors.Is(err, trips.ErrNotFound) {
			return nil
		}
	}

	if errors.Is(err, ErrResting) {
		return nil
	}
	return err
}

// Settle returns the trip's charge, taking the money first if nobody did.
func (s *Settler) Settle(ctx context.Context, id trips.TripID) (Charge, error) {
	c, err := s.Charges.Charge(ctx, id)
	if err == nil || !errors.Is(err, trips.ErrNotFound) {
		return c, err
	}

	t, err := s.Trips.Trip(ctx, id)
	if errors.Is(err, trips.ErrNotFound) {
		return Charge{}, &PermanentError{fmt.Errorf("settle %s: %w", id, err)}
	}
	if err != nil {
		return Charge{}, err
	}
	if t.State != trips.Completed {
		return Charge{}, &PermanentError{fmt.Errorf("settle trip %s, which is %s: %w", id, t.State, trips.ErrBadMove)}
	}

	paid, err := s.takePayment(ctx, t)
	if err != nil {
		return Charge{}, err
	}

	return s.Charges.Settle(ctx, Charge{Trip: id, Rider: t.Rider, Reference: paid.Reference,
		Amount: paid.Amount, ProviderID: paid.ID, At: s.Now()})
}

// takePayment gets the money once, however often it asks: an answer that leaves doubt
// is followed by a question, never by another charge.
func (s *Settler) takePayment(ctx context.Context, t trips.Trip) (Payment, error) {
	o := s.newOrder(t)

	// no job comes back sooner
	doubt := s.Now().Sub(t.EndedAt).Abs() > cmp.Or(s.Fresh, 3*time.Second)
	if !doubt {
		s.Budget.recordFirst(s.Now())
	} else if err := s.waitForBudget(ctx); err != nil {
		return Payment{}, fmt.Errorf("settle %s: %w", t.ID, err)
	}

	var err error
	for try := range s.maxTries() {
		if try > 0 && (!s.backOff(ctx, try) || s.waitForBudget(ctx) != nil) {
			break
		}

		var p Payment
		p, err = s.verifyOrCharge(ctx, o, doubt)
		s.Budget.recordResult(isAnswer(err))
		if err == nil {
			return p, s.checkAmount(p, o)
		}
		if errors.Is(err, ErrDeclined) || errors.Is(err, ErrRefused) {
			return Payment{}, &PermanentError{err}
		}

		doubt = true
	}
	return Payment{}, err
}

// isAnswer tells a provider that knows what it does, though it may not do what
// we want.
func isAnswer(err error) bool {
	return err == nil || errors.Is(err, ErrDeclined) || errors.Is(err, ErrRefused) || errors.Is(err, ErrDuplicate)
}

// waitForBudget returns when one more attempt is within the budget: ErrResting when the
// provider fails, or ctx's error.
func (s *Settler) waitForBudget(ctx context.Context) error {
	for {
		allowed, wait := s.Budget.allowRetry(s.Now())
		switch {
		case allowed:
			return nil
		case !wait:
			return ErrResting
		case !sleepContext(ctx, 20*time.Millisecond):
			return ctx.Err()
		}
	}
}

// verifyOrCharge charges, unless an earlier charge may have gone through and did.
func (s *Settler) verifyOrCharge(ctx context.Context, o Order, doubt bool) (Payment, error) {
	if doubt {
		p, err := s.Provider.Verify(ctx, o.Reference)
		if !errors.Is(err, ErrUnknownReference) {
			return p, err
		}
	}

	p, err := s.Provider.Charge(ctx, o)
	if errors.Is(err, ErrDuplicate) {
		return s.Provider.Verify(ctx, o.Reference)
	}
	return p, err
}

func (s *Settler) newOrder(t trips.Trip) Order {
	email, card := string(t.Rider)+"@riders.example", "AUTH_"+string(t.Rider)
	if s.Card != nil {
		email, card = s.Card(t.Rider)
	}
	return Order{Reference: Reference(t.ID), Amount: t.Quote.Fare, Email: email, Authorization: card}
}

// checkAmount refuses to book another amount than the fare.
func (s *Settler) checkAmount(p Payment, o Order) error {
	if p.Amount != o.Amount {
		return &PermanentError{fmt.Errorf("%s: provider took %v instead of %v; a person must look: %w",
			o.Reference, p.Amount, o.Amount, ErrRefused)}
	}
	return nil
}

func (s *Settler) maxTries() int { return cmp.Or(s.Tries, 3) }

// backOff rests with full jitter; false when ctx ended.
func (s *Settler) backOff(ctx context.Context, try int) bool {
	return sleepContext(ctx, rand.N(cmp.Or(s.Backoff, 200*time.Millisecond)<<min(try-1, 6)))
}

func sleepContext(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
