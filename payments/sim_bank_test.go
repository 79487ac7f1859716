package payments_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/payments"
)

// seededRand is a seeded generator for many goroutines.
type seededRand struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (l *seededRand) drawChance(p float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.Float64() < p
}

func (l *seededRand) drawNumber(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.IntN(n)
}

func (l *seededRand) drawBetween(from, to time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return from + time.Duration(l.rng.Int64N(int64(to-from)))
}

// forgetfulBank is a provider that forgets references: it refuses one that
// comes back within a minute, and takes the money again when it comes back
// later. A settler that charges without verifying first is found out.
type forgetfulBank struct {
	*seededRand
	memory time.Duration

	mu       sync.Mutex // guards all below
	faults   float64
	captures []capture
	refunds  map[string][]payments.ProviderRefund // by payment, newest first
}

type capture struct {
	payments.Payment
	at time.Time
}

var errBank = errors.New("502 from the provider")

func (b *forgetfulBank) setFaults(p float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = p
}

// serveWithFaults answers within three seconds, as the HTTP client does. With
// faults the request or its answer gets lost, or both hang, and what was asked
// for happens all the same or much later.
func serveWithFaults[T any](ctx context.Context, b *forgetfulBank, do func() (T, error)) (T, error) {
	var none T
	b.mu.Lock()
	faults := b.faults
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()

	wait := func(d time.Duration) error {
		sleep.For(ctx, d)
		return ctx.Err()
	}

	if err := wait(b.drawBetween(10*time.Millisecond, time.Second)); err != nil {
		return none, err
	}
	if !b.drawChance(faults) {
		return do()
	}

	switch b.drawNumber(4) {
	case 0: // never arrived
		return none, errBank
	case 1: // done, and the reply lost or a 500
		_, _ = do()
		return none, errBank
	case 2: // hangs; done after the caller gave up
		time.AfterFunc(b.drawBetween(time.Second, 20*time.Second), func() { _, _ = do() })
	}

	return none, wait(time.Minute)
}

// Charge takes the money.
func (b *forgetfulBank) Charge(ctx context.Context, o payments.ChargeOrder) (payments.Payment, error) {
	return serveWithFaults(ctx, b, func() (payments.Payment, error) {
		b.mu.Lock()
		defer b.mu.Unlock()

		for _, c := range b.captures {
			if c.Reference == o.Reference && time.Since(c.at) < b.memory {
				return payments.Payment{}, payments.ErrDuplicate
			}
		}

		p := payments.Payment{ID: fmt.Sprint(len(b.captures) + 1), Reference: o.Reference, Amount: o.Amount}
		b.captures = append(b.captures, capture{p, time.Now()})
		return p, nil
	})
}

// VerifyCharge finds a payment of any age.
func (b *forgetfulBank) VerifyCharge(ctx context.Context, reference string) (payments.Payment, error) {
	return serveWithFaults(ctx, b, func() (payments.Payment, error) {
		if found := b.capturesOf(reference); len(found) > 0 {
			return found[0].Payment, nil
		}
		return payments.Payment{}, payments.ErrUnknownReference
	})
}

// CreateRefund gives a payment back, once and whole. It may take minutes.
func (b *forgetfulBank) CreateRefund(ctx context.Context, o payments.RefundOrder) (payments.ProviderRefund, error) {
	return serveWithFaults(ctx, b, func() (payments.ProviderRefund, error) {
		paid := b.capturesOf(o.Transaction)
		b.mu.Lock()
		defer b.mu.Unlock()

		if len(paid) == 0 || len(b.refunds[paid[0].ID]) > 0 {
			return payments.ProviderRefund{}, payments.ErrRefused
		}

		id := paid[0].ID
		r := payments.ProviderRefund{ID: "back-" + id, Amount: o.Amount, Status: payments.RefundDone}
		if b.drawChance(.5) {
			r.Status = payments.RefundRequested
			time.AfterFunc(b.drawBetween(time.Second, 10*time.Minute), func() { b.finishRefund(id) })
		}
		b.refunds[id] = []payments.ProviderRefund{r}
		return r, nil
	})
}

func (b *forgetfulBank) finishRefund(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refunds[id][0].Status = payments.RefundDone
}

// ListRefunds returns the refunds of a payment.
func (b *forgetfulBank) ListRefunds(ctx context.Context, paymentID string) ([]payments.ProviderRefund, error) {
	return serveWithFaults(ctx, b, func() ([]payments.ProviderRefund, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.Clone(b.refunds[paymentID]), nil
	})
}

// capturesOf returns what was captured under a reference.
func (b *forgetfulBank) capturesOf(reference string) (out []capture) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.captures {
		if c.Reference == reference {
			out = append(out, c)
		}
	}
	return out
}

// lossyQueue is a queue of jobs that delivers at least once, in any order, and
// loses all when it is flushed.
type lossyQueue struct {
	*seededRand
	wake chan struct{}

	mu     sync.Mutex // guards all below
	faults float64
	jobs   []job
}

type job struct {
	id  string
	try int
}

func (q *lossyQueue) setFaults(p float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.faults = p
}

// EnqueueJob adds a job. With faults it may add it twice, not add it, or add it
// and return an error.
func (q *lossyQueue) EnqueueJob(_ context.Context, _, id string, _ []byte) error {
	q.mu.Lock()
	faults := q.faults
	q.mu.Unlock()

	if !q.drawChance(faults) {
		q.pushJob(job{id: id})
		return nil
	}

	switch q.drawNumber(3) {
	case 0:
		q.pushJob(job{id: id})
		q.pushJob(job{id: id})
		return nil
	case 1:
		q.pushJob(job{id: id})
	}

	return errors.New("Redis does not answer")
}

func (q *lossyQueue) pushJob(j job) {
	q.mu.Lock()
	q.jobs = append(q.jobs, j)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *lossyQueue) dropAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = nil
}

// popJob waits for a job. It returns false when ctx ended.
func (q *lossyQueue) popJob(ctx context.Context) (job, bool) {
	for {
		q.mu.Lock()
		if n := len(q.jobs); n > 0 {
			i := q.drawNumber(n)
			j := q.jobs[i]
			q.jobs = slices.Delete(q.jobs, i, i+1)
			q.mu.Unlock()
			return j, true
		}
		q.mu.Unlock()

		select {
		case <-ctx.Done():
			return job{}, false
		case <-q.wake:
		case <-time.After(time.Minute):
			// Another worker may have received the signal.
		}
	}
}
