package payments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// Provider takes money and gives it back. Its methods may block on I/O, must
// respect ctx, may be called from many goroutines, and return the errors of
// this package.
type Provider interface {
	Charge(ctx context.Context, o ChargeOrder) (Payment, error)
	VerifyCharge(ctx context.Context, reference string) (Payment, error)
	CreateRefund(ctx context.Context, o RefundOrder) (ProviderRefund, error)
	// ListRefunds returns all refunds of a payment, newest first.
	ListRefunds(ctx context.Context, paymentID string) ([]ProviderRefund, error)
}

// TripReader is what a settler needs of the store of trips.
type TripReader interface {
	Trip(ctx context.Context, id trips.TripID) (trips.Trip, error)
}

// Settler takes the fare of completed trips and gives it back when an operator
// asks. It may be used from many goroutines. It keeps no state of a trip but
// that it is being settled.
// HandleJob is the handler of the settlement jobs.
type Settler struct {
	Trips    TripReader
	Charges  Store
	Refunds  RefundStore
	Provider Provider
	// CardOf returns a rider's stored card; a made-up one when nil.
	CardOf func(trips.RiderID) (email, authorization string)
	Now    func() time.Time
	// MaxTries is the number of charges, refunds or verifications within one
	// job; 3 when zero. After them the job comes back later.
	MaxTries int
	// Backoff is the upper bound of the first wait between tries, and doubles;
	// 200 ms when zero.
	Backoff time.Duration
	// FreshFor is how long after its end a trip counts as never charged; 3 s
	// when zero. An older trip may have been charged before, so it is verified
	// first.
	FreshFor time.Duration
	Budget   *Budget         // bounds the node's retries; nil for no bound
	Tracer   *tracing.Tracer // nil: no hop is recorded

	// settling has the trips that are being settled. The provider's webhook may
	// bring a second job before the answer that it follows: that job shares the
	// charge that the first one gets, instead of asking for the money as well.
	settling singleflight.Group
}

// Books is what a settler needs of a database.
type Books interface {
	TripReader
	Store
	RefundStore
}

// NewSettler returns a settler of a database's trips at the provider with an
// HTTP API at a URL, where secret is our key. Its other fields may be set
// before it is used.
func NewSettler(books Books, url, secret string, now func() time.Time) *Settler {
	return &Settler{Trips: books, Charges: books, Refunds: books, Now: now,
		Provider: &HTTPProvider{URL: url, Secret: secret}}
}

// ErrProviderDown says that the provider fails and must not be asked again now.
var ErrProviderDown = errors.New("the provider fails, and this trip has to wait until it answers")

// PermanentError is a failure that no repetition will cure. A queue that checks
// Permanent gives the job up.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string   { return e.Err.Error() }
func (e *PermanentError) Unwrap() error   { return e.Err }
func (e *PermanentError) Permanent() bool { return true }

// HandleJob settles the trip that the job is named after: it charges it, and
// refunds it if that was requested. For a trip whose money is in order it does
// nothing. It is no error when the provider still works on a refund, or must
// not be asked now: its webhook or the reconciler brings the trip back.
func (s *Settler) HandleJob(ctx context.Context, jobID string, _ []byte) error {
	id := trips.TripID(jobID)
	_, err := s.SettleTrip(ctx, id)
	if err == nil {
		if _, err = s.advanceRefund(ctx, id); errors.Is(err, trips.ErrNotFound) {
			return nil
		}
	}

	if errors.Is(err, ErrProviderDown) {
		return nil
	}
	return err
}

// SettleTrip returns the trip's charge, and takes the money first if that has
// not happened. Errors: PermanentError for a trip that is unknown or not
// completed, a declined card, or a wrong amount; ErrProviderDown; or one that a
// later attempt may cure. Calls for one trip at the same time share one charge,
// and are made one after the other while there is none.
func (s *Settler) SettleTrip(ctx context.Context, id trips.TripID) (Charge, error) {
	for {
		tried := false
		c, err, _ := s.settling.Do(string(id), func() (any, error) {
			tried = true
			return s.settleAlone(ctx, id)
		})
		if err == nil || tried {
			return c.(Charge), err
		}
	}
}

// settleAlone is SettleTrip for one call at a time.
func (s *Settler) settleAlone(ctx context.Context, id trips.TripID) (Charge, error) {
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

	return s.Charges.RecordCharge(ctx, Charge{Trip: id, Rider: t.Rider, Reference: paid.Reference,
		Amount: paid.Amount, ProviderID: paid.ID, At: s.Now()})
}

// takePayment takes the money once in any number of attempts: after an
// ambiguous answer it verifies the reference before it charges again.
func (s *Settler) takePayment(ctx context.Context, t trips.Trip) (Payment, error) {
	o, hops := s.newOrder(t), s.hopsOf(t.ID)

	// No job comes back within FreshFor of the trip's end, so a fresh trip was
	// not tried before.
	doubt := s.Now().Sub(t.EndedAt).Abs() > cmp.Or(s.FreshFor, 3*time.Second)
	if !doubt {
		s.Budget.RecordFirst(s.Now())
	} else if err := s.waitForBudget(ctx, hops); err != nil {
		return Payment{}, fmt.Errorf("settle %s: %w", t.ID, err)
	}

	var err error
	for try := range s.maxTries() {
		if try > 0 && (s.backOff(ctx, try, hops) != nil || s.waitForBudget(ctx, hops) != nil) {
			break
		}

		var p Payment
		p, err = s.verifyOrCharge(ctx, o, doubt, hops)
		s.Budget.RecordResult(isAnswer(err))
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

// isAnswer reports whether the provider is working, though it may have refused
// what we asked.
func isAnswer(err error) bool {
	return err == nil || errors.Is(err, ErrDeclined) || errors.Is(err, ErrRefused) || errors.Is(err, ErrDuplicate)
}

// waitForBudget returns nil when the budget allows one more attempt. Errors:
// ErrProviderDown when the provider fails, or ctx's.
func (s *Settler) waitForBudget(ctx context.Context, hops *tripHops) error {
	return hops.wait("budget", "Retries of other trips have used up the budget; each answer of the provider gives some back.", func() error {
		for {
			allowed, wait := s.Budget.AllowRetry(s.Now())
			switch {
			case allowed:
				return nil
			case !wait:
				return ErrProviderDown
			case !sleep.For(ctx, 20*time.Millisecond):
				return ctx.Err()
			}
		}
	})
}

// verifyOrCharge charges, unless doubt says that an earlier charge may have
// gone through and the provider confirms it.
func (s *Settler) verifyOrCharge(ctx context.Context, o ChargeOrder, doubt bool, hops *tripHops) (Payment, error) {
	verify := func(ctx context.Context) (Payment, error) { return s.Provider.VerifyCharge(ctx, o.Reference) }
	if doubt {
		p, err := hops.askProvider(ctx, askVerify, verify)
		if !errors.Is(err, ErrUnknownReference) {
			return p, err
		}
	}

	p, err := hops.askProvider(ctx, askCharge, func(ctx context.Context) (Payment, error) { return s.Provider.Charge(ctx, o) })
	if errors.Is(err, ErrDuplicate) {
		return hops.askProvider(ctx, askVerify, verify)
	}
	return p, err
}

func (s *Settler) newOrder(t trips.Trip) ChargeOrder {
	email, card := string(t.Rider)+"@riders.example", "AUTH_"+string(t.Rider)
	if s.CardOf != nil {
		email, card = s.CardOf(t.Rider)
	}
	return ChargeOrder{Reference: ChargeReference(t.ID), Amount: t.Quote.Fare, Email: email, Authorization: card}
}

// checkAmount refuses to book an amount other than the fare.
func (s *Settler) checkAmount(p Payment, o ChargeOrder) error {
	if p.Amount != o.Amount {
		return &PermanentError{fmt.Errorf("%s: provider took %v instead of %v; a person must look: %w",
			o.Reference, p.Amount, o.Amount, ErrRefused)}
	}
	return nil
}

func (s *Settler) maxTries() int { return cmp.Or(s.MaxTries, 3) }

// backOff waits with full jitter. It returns ctx's error when that ended first.
func (s *Settler) backOff(ctx context.Context, try int, hops *tripHops) error {
	return hops.wait("backoff", "A pause before the next attempt, of random length, so that nodes do not come back at once.", func() error {
		if !sleep.For(ctx, rand.N(cmp.Or(s.Backoff, 200*time.Millisecond)<<min(try-1, 6))) {
			return ctx.Err()
		}
		return nil
	})
}
