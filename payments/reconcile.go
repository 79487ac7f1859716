package payments

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Queue is where settlement jobs go.
type Queue interface {
	Enqueue(ctx context.Context, stream, jobID string, payload []byte) error
}

// Reconciler finds completed trips without a charge and queues them again, whatever became of their jobs. A trip that
// stays unpaid comes back ever more rarely. Set the fields, then call Run; zero values stand for the brackets.
type Reconciler struct {
	Charges Store
	Queue   Queue
	Stream  string
	Every   time.Duration // [10 s]
	Grace   time.Duration // how long settlement may take by itself [30 s]
	Longest time.Duration // between two jobs for one trip [1 h]
	Limit   int           // trips per look [1000]
	Lost    chan struct{} // says that the queue lost its jobs: all are queued again at once, without grace; may be nil
	Now     func() time.Time
	Log     *slog.Logger

	asked map[trips.TripID]asked // of the goroutine in Run; only trips of the last look
}

type asked struct {
	next time.Time
	wait time.Duration
}

// Run reconciles until ctx ends. It returns ctx's error.
func (r *Reconciler) Run(ctx context.Context) error {
	tick := time.NewTicker(cmp.Or(r.Every, 10*time.Second))
	defer tick.Stop()
	look := r.Look
	for {
		n, err := look(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("reconciling stopped half-way and will go on", "err", err)
		}
		if n > 0 {
			r.Log.Info("completed trips without a charge queued again", "trips", n)
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

// Look queues what is due and says how many trips that were. One goroutine at a time.
func (r *Reconciler) Look(ctx context.Context) (int, error) {
	return r.look(ctx, cmp.Or(r.Grace, 30*time.Second))
}

// Rebuild queues every completed trip without a charge, whoever was asked to settle it before. What it leaves out, for
// there are too many or something failed, is due at the next looks. One goroutine at a time, like Look.
func (r *Reconciler) Rebuild(ctx context.Context) (int, error) {
	r.asked = nil
	return r.look(ctx, 0)
}

func (r *Reconciler) look(ctx context.Context, grace time.Duration) (int, error) {
	now := r.Now()
	unpaid, err := r.Charges.Uncharged(ctx, now.Add(-grace), cmp.Or(r.Limit, 1000))
	if err != nil {
		return 0, fmt.Errorf("trips without a charge: %w", err)
	}
	before, queued := r.asked, 0
	r.asked = make(map[trips.TripID]asked, len(unpaid))
	for _, t := range unpaid {
		a := before[t.ID]
		if err == nil && !now.Before(a.next) {
			if err = r.Queue.Enqueue(ctx, r.Stream, string(t.ID), []byte(t.ID)); err == nil {
				a.wait = min(max(2*a.wait, cmp.Or(r.Grace, 30*time.Second)), cmp.Or(r.Longest, time.Hour))
				a.next = now.Add(a.wait)
				queued++
			}
		}
		r.asked[t.ID] = a
	}
	return queued, err
}
