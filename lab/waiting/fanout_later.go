package waiting

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/quantile"
)

const fanoutStream = "lab-maps"

// laterRequestsMade is how many requests are left as jobs: that none of them
// waits needs no large number.
const laterRequestsMade = 40

// laterFigures are what was counted of requests that were left as jobs.
type laterFigures struct {
	Accepted   int           `json:"accepted"`
	Whole      int           `json:"whole"` // in the end
	Deliveries int64         `json:"deliveries"`
	took       time.Duration // median of leaving a job
}

// laterRequests are requests that a worker of the app's queue works on, while
// their callers have gone on. What is missing is asked for again when the job
// comes back.
type laterRequests struct {
	caller   *caller
	want     int           // how many
	deadline time.Duration // of a delivery

	deliveries atomic.Int64
	left       chan struct{} // closed when all jobs are left, or that failed
	all        chan struct{} // closed when all are whole

	mu      sync.Mutex
	missing map[int][]int // services, by request; a whole request has none
	tries   map[int]int   // deliveries so far
	whole   int
}

func newLaterRequests(c *caller, requests int, deadline time.Duration) *laterRequests {
	l := &laterRequests{caller: c, want: requests, deadline: deadline, left: make(chan struct{}), all: make(chan struct{}),
		missing: map[int][]int{}, tries: map[int]int{}}
	for i := range requests {
		for s := range c.plan.services {
			l.missing[i] = append(l.missing[i], s)
		}
	}
	return l
}

// run opens a queue, leaves a job for each request, and works until all are
// whole.
func (l *laterRequests) run(ctx context.Context) (laterFigures, error) {
	redis, err := events.OpenEmbedded(events.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		close(l.left)
		return laterFigures{}, err
	}

	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() {
		// The error is ctx's.
		_ = (&events.Worker{Redis: redis, Stream: fanoutStream, Consumer: "lab", Handle: l.handleJob, Concurrency: 4,
			Heartbeat: 25 * time.Millisecond, MaxDeliveries: 100}).Run(ctx)
	})

	took, err := l.leaveJobs(ctx, redis)
	close(l.left)
	if err == nil {
		select {
		case <-l.all:
		case <-ctx.Done():
		}
	}

	err = errors.Join(err, ctx.Err())
	cancel()
	working.Wait()
	f := laterFigures{Accepted: len(took), Whole: l.countWhole(), Deliveries: l.deliveries.Load(), took: quantile.Sort(took).At(.5)}
	return f, errors.Join(err, redis.Close())
}

// leaveJobs leaves a job for each request, and returns how long each took.
func (l *laterRequests) leaveJobs(ctx context.Context, redis *events.Redis) (took []time.Duration, err error) {
	for i := range l.want {
		began := time.Now()
		if err := enqueueJob(ctx, redis, fanoutStream, strconv.Itoa(i)); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// handleJob asks the services that are missing for one request.
func (l *laterRequests) handleJob(ctx context.Context, jobID string, _ []byte) error {
	request, err := strconv.Atoi(jobID)
	if err != nil {
		return err
	}

	l.deliveries.Add(1)
	l.mu.Lock()
	missing, try := l.missing[request], l.tries[request]
	l.tries[request]++
	l.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, l.deadline)
	defer cancel()

	failed := make([]bool, len(missing))
	var asking sync.WaitGroup
	for i, service := range missing {
		asking.Go(func() { failed[i] = l.caller.callService(ctx, callID{request, service, try}).failed })
	}
	asking.Wait()
	return l.keepMissing(request, missing, failed)
}

// errUnanswered says that a call ended without an answer.
var errUnanswered = errors.New("a service did not answer")

// keepMissing notes what a delivery brought. It returns an error while services
// are missing, so that the job comes back.
func (l *laterRequests) keepMissing(request int, asked []int, failed []bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.missing[request]) == 0 {
		return nil // a job that was delivered twice
	}

	var missing []int
	for i, service := range asked {
		if failed[i] {
			missing = append(missing, service)
		}
	}
	l.missing[request] = missing
	if len(missing) > 0 {
		return errUnanswered
	}

	if l.whole++; l.whole == l.want {
		close(l.all)
	}
	return nil
}

func (l *laterRequests) countWhole() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whole
}
