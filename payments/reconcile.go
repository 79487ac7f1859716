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

// Queue is where settlement jobs are put. EnqueueJob may block on I/O.
type Queue interface {
	EnqueueJob(ctx context.Context, stream, jobID string, payload []byte) error
}

// Reconciler finds completed trips without a charge and refunds that have not
// ended, and queues them again, whether or not their jobs still exist. The wait
// between two jobs of one trip doubles from Grace to MaxWait. While the
// provider fails and trips are held back for that reason, it queues one trip at
// a time to find out when the provider is back, and then queues all of them.
//
// Set the fields, then call Run. Zero values stand for the numbers in brackets.
type Reconciler struct {
	Charges Store
	Refunds RefundStore
	Queue   Queue
	Stream  string
	// Budget is that of this node's settler. Without it the provider's state is
	// not considered.
	Budget *Budget
	// Interval is the time between two looks [5 s].
	Interval time.Duration
	// Grace is how long settlement may take by itself [30 s].
	Grace time.Duration
	// MaxWait is the longest wait between two jobs for one trip [1 h].
	MaxWait time.Duration
	// Limit is the number of trips of each kind per look, besides those that
	// were queued before and wait [1000].
	Limit int
	// QueueLost, if set, reports that the queue lost its jobs: all trips are
	// queued again at once, without grace.
	QueueLost chan struct{}
	Now       func() time.Time
	Log       *slog.Logger

	// Of the goroutine in Run. attempts holds the trips of the last look only.
	attempts  map[trips.TripID]attempt
	rebuiltAt time.Time
}

// maxWaiting bounds how many trips that cannot be settled are remembered and
// read besides Limit.
const maxWaiting = 100_000

// attempt is when a trip may be queued again, and the wait that led to that.
type attempt struct {
	nextAt time.Time
	wait   time.Duration
}

// Run reconciles until ctx ends. It returns ctx's error.
func (r *Reconciler) Run(ctx context.Context) error {
	tick := time.NewTicker(cmp.Or(r.Interval, 5*time.Second))
	defer tick.Stop()

	look := r.EnqueueDue
	for {
		n, err := look(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("the reconciler could not queue all trips; trying again", "err", err)
		}
		if n > 0 {
			r.Log.Info("trips with a missing charge or an open refund queued again", "trips", n)
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			look = r.EnqueueDue
		case <-r.QueueLost:
			look = r.EnqueueAll
		}
	}
}

// EnqueueDue queues the trips that are due and returns how many. Only one
// goroutine may call it at a time.
func (r *Reconciler) EnqueueDue(ctx context.Context) (int, error) {
	switch {
	case r.Budget.isHoldingBack():
		return r.enqueueProbe(ctx)
	case r.Now().Sub(r.rebuiltAt) >= r.gracePeriod() && r.Budget.takeRecovery():
		return r.EnqueueAll(ctx)
	}
	return r.enqueueOlderThan(ctx, r.gracePeriod())
}

// enqueueProbe queues one trip that is not new, chosen at random: there may be
// some trips that the provider never answers for.
func (r *Reconciler) enqueueProbe(ctx context.Context) (int, error) {
	due, err := r.listDue(ctx, r.Now().Add(-min(r.gracePeriod(), 5*time.Second)))
	if err != nil || len(due) == 0 {
		return 0, err
	}
	id := due[rand.N(len(due))]
	return 1, r.Queue.EnqueueJob(ctx, r.Stream, string(id), []byte(id))
}

// EnqueueAll queues every trip whose money is not in order, even if it was
// queued before. Trips that it leaves out, because there are too many or an
// error occurred, are due at the next looks. Only one goroutine may call it or
// EnqueueDue at a time.
func (r *Reconciler) EnqueueAll(ctx context.Context) (int, error) {
	r.attempts, r.rebuiltAt = nil, r.Now()
	return r.enqueueOlderThan(ctx, 0)
}

func (r *Reconciler) gracePeriod() time.Duration { return cmp.Or(r.Grace, 30*time.Second) }

// enqueueOlderThan queues the trips that ended more than grace ago and whose
// wait is over, and returns how many.
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
			if err = r.Queue.EnqueueJob(ctx, r.Stream, string(id), []byte(id)); err == nil {
				a.wait = min(max(2*a.wait, r.gracePeriod()), cmp.Or(r.MaxWait, time.Hour))
				a.nextAt = now.Add(a.wait)
				queued++
			}
		}

		r.attempts[id] = a
	}

	return queued, err
}

// listDue returns the trips that ended before a time and whose charge is
// missing or whose refund is open.
func (r *Reconciler) listDue(ctx context.Context, since time.Time) ([]trips.TripID, error) {
	// Trips that wait are the oldest; reading that many more keeps them from
	// hiding others.
	limit := cmp.Or(r.Limit, 1000) + min(len(r.attempts), maxWaiting)
	unpaid, err := r.Charges.UnchargedTrips(ctx, since, limit)
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
