package payments

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Queue is where settlement jobs go.
type Queue interface {
	Enqueue(ctx context.Context, stream, jobID string, payload []byte) error
}

// Reconciler finds completed trips without a charge, and refunds without an
// end, and queues them again, whatever became of their jobs. A trip that stays
// as it is comes back ever more rarely. While the provider fails and trips were
// refused because of that, it queues one trip at a time, to find out when the
// provider is back, and then all of them. Set the fields, then call Run; zero
// values stand for the brackets.
type Reconciler struct {
	Charges Store
	Refunds Refunds
	Queue   Queue
	Stream  string
	// of the settler on this node; nil: the provider is not looked at
	Budget *Budget
	// [5 s]
	Every time.Duration
	// how long settlement may take by itself [30 s]
	Grace time.Duration
	// between two jobs for one trip [1 h]
	Longest time.Duration
	Limit   int // trips of each kind per look, besides those that rest [1000]
	// says that the queue lost its jobs: all are queued again at once, without
	// grace; may be nil
	Lost chan struct{}
	Now  func() time.Time
	Log  *slog.Logger

	// of the goroutine in Run, like the next; only trips of the last look
	attempts  map[trips.TripID]attempt
	rebuiltAt time.Time
}

// maxWaiting bounds the trips that nobody can settle and the memory that they
// take.
const maxWaiting = 100_000

type attempt struct {
	nextAt time.Time
	wait   time.Duration
}

// Run reconciles until ctx ends. It returns ctx's error.
func (r *Reconciler) Run(ctx context.Context) error {
	tick := time.NewTicker(cmp.Or(r.Every, 5*time.Second))
	defer tick.Stop()

	look := r.Look
	for {
		n, err := look(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("reconciling stopped half-way and will go on", "err", err)
		}
		if n > 0 {
			r.Log.Info("trips whose money is not in order queued again", "trips", n)
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			look = r.Look
		case <-r.Lost:
			look = r.Rebuild
		}
	}
}

// Look queues what is due and says how many trips that were. One goroutine at a
// time.
func (r *Reconciler) Look(ctx context.Context) (int, error) {
	switch {
	case r.Budget.isHoldingBack():
		return r.enqueueProbe(ctx)
	case r.Now().Sub(r.rebuiltAt) >= r.gracePeriod() && r.Budget.takeRecovery():
		return r.Rebuild(ctx)
	}
	return r.enqueueOlderThan(ctx, r.gracePeriod())
}

// enqueueProbe queues one trip that is not new, another one each time: there may be
// some that the provider has no answer for.
func (r *Reconciler) enqueueProbe(ctx context.Context) (int, error) {
	due, err := r.listDue(ctx, r.Now().Add(-min(r.gracePeriod(), 5*time.Second)))
	if err != nil || len(due) == 0 {
		return 0, err
	}
	id := due[rand.N(len(due))]
	return 1, r.Queue.Enqueue(ctx, r.Stream, string(id), []byte(id))
}

// Rebuild queues every trip whose money is not in order, whoever was asked to
// see to it before. What it leaves out, for there are too many or something
// failed, is due at the next looks. One goroutine at a time, like Look.
func (r *Reconciler) Rebuild(ctx context.Context) (int, error) {
	r.attempts, r.rebuiltAt = nil, r.Now()
	return r.enqueueOlderThan(ctx, 0)
}

func (r *Reconciler) gracePeriod() time.Duration { return cmp.Or(r.Grace, 30*time.Second) }

func (r *Reconciler) enqueueOlderThan(ctx context.Context, grace time.Duration) (int, error) {
	now := r.Now()
	due, err := r.listDue(ctx, now.Add(-grace))
	if err != nil {
		return 0, err
	}

	before, queued := r.attempts, 0
	r.attempts = make(map[trips.TripID]attempt, len(due))
	for _, id := range due {
		a := before[id]
		if err == nil && !now.Before(a.nextAt) {
			if err = r.Queue.Enqueue(ctx, r.Stream, string(id), []byte(id)); err == nil {
				a.wait = min(max(2*a.wait, r.gracePeriod()), cmp.Or(r.Longest, time.Hour))
				a.nextAt = now.Add(a.wait)
				queued++
			}
		}

		r.attempts[id] = a
	}

	return queued, err
}

// listDue returns the trips whose money should be in order since a time and is not.
func (r *Reconciler) listDue(ctx context.Context, since time.Time) ([]trips.TripID, error) {
	// those that rest are the oldest, and hide no others
	limit := cmp.Or(r.Limit, 1000) + min(len(r.attempts), maxWaiting)
	unpaid, err := r.Charges.Uncharged(ctx, since, limit)
	if err != nil {
		return nil, fmt.Errorf("trips without a charge: %w", err)
	}

	open, err := r.Refunds.OpenRefunds(ctx, since, limit)
	if err != nil {
		return nil, fmt.Errorf("refunds without an end: %w", err)
	}

	ids := make([]trips.TripID, 0, len(unpaid)+len(open))
	for _, t := range unpaid {
		ids = append(ids, t.ID)
	}
	for _, f := range open {
		ids = append(ids, f.Trip)
	}

	return ids, nil
}
