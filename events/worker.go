package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Worker does the jobs of a stream. Set the fields, then call Run; zero values
// stand for the numbers in brackets.
//
// The effect comes first and the acknowledgement last, so a job may be done
// twice and is never skipped: Handle must be idempotent by the job's id.
// Handle's errors bring the job back later, ever more slowly; an error with a
// method Permanent() bool that says true, or too many deliveries, makes it a
// dead letter.
type Worker struct {
	Redis  *Redis
	Stream string
	// the node's name: the same after a restart, so that it finds its own
	// unfinished jobs
	Consumer string
	Handle   func(ctx context.Context, jobID string, payload []byte) error
	Parallel int // jobs at a time [4]
	// a job whose worker is silent for three of these is taken over [1 s]
	Heartbeat  time.Duration
	Limit      time.Duration // for one delivery [30 s]
	Deliveries int64         // before a job is a dead letter [5]
	OnDead     func(Job, error)
	// Redis has no such queue: it forgot all jobs, or never had any. Whoever
	// knows them queues them again
	OnLost func()

	mu   sync.Mutex
	held map[string]bool // entries in hand

	// of the goroutine in Run: the queue was perhaps made anew, and nobody told
	maybeRecreated bool
}

const workerGroup = "workers"

// Run works until ctx ends and the jobs in hand have ended with it. It returns
// ctx's error.
func (w *Worker) Run(ctx context.Context) error {
	w.Parallel = cmp.Or(w.Parallel, 4)
	w.Heartbeat = cmp.Or(w.Heartbeat, time.Second)
	w.Limit = cmp.Or(w.Limit, 30*time.Second)
	w.Deliveries = cmp.Or(w.Deliveries, 5)
	w.held = map[string]bool{}
	var hands sync.WaitGroup
	defer hands.Wait()

	hands.Go(func() { w.renewHeld(ctx) })
	free := make(chan struct{}, w.Parallel)
	pause := backoff{step: 50 * time.Millisecond}
	own := true // first of all, what this worker held when it went down
	var looked time.Time
	for ctx.Err() == nil {
		if !acquireSlot(ctx, free) {
			break
		}

		jobs, err := w.nextJobs(ctx, own, &looked)
		<-free
		if err != nil {
			w.handleReadError(ctx, err, &pause)
			continue
		}
		w.announceRecreated(w.maybeRecreated)
		own = own && len(jobs) > 0
		pause.reset()
		for _, j := range jobs { // keep them all while they wait for a hand
			w.hold(j)
		}

		for _, j := range jobs {
			if !acquireSlot(ctx, free) {
				break // unfinished jobs stay pending
			}
			hands.Go(func() { defer func() { <-free }(); w.runJob(ctx, j) })
		}
	}
	return ctx.Err()
}

// acquireSlot waits for a free hand; false when ctx ended.
func acquireSlot(ctx context.Context, free chan struct{}) bool {
	select {
	case free <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// nextJobs finds jobs: this worker's own from before, then those whose worker fell
// silent, then new ones.
func (w *Worker) nextJobs(ctx context.Context, own bool, looked *time.Time) ([]Job, error) {
	if own {
		return w.claimPending(ctx, w.Consumer, 0)
	}

	if time.Since(*looked) >= w.Heartbeat {
		*looked = time.Now()
		if jobs, err := w.claimPending(ctx, "", 3*w.Heartbeat); err != nil || len(jobs) > 0 {
			return jobs, err
		}
	}
	return w.readNew(ctx)
}

// readNew waits a little for a new job.
func (w *Worker) readNew(ctx context.Context) ([]Job, error) {
	ctx, cancel := context.WithTimeout(ctx, readBlock+replyTimeout)
	defer cancel()

	found, err := w.Redis.blocking.XReadGroup(ctx, &redis.XReadGroupArgs{Group: workerGroup, Consumer: w.Consumer,
		Streams: []string{w.streamKey(), ">"}, Count: 1, Block: readBlock}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}

	var jobs []Job
	for _, s := range found {
		for _, m := range s.Messages {
			jobs = append(jobs, decodeJob(m, 1))
		}
	}

	return jobs, nil
}

// claimPending takes over pending jobs that rested long enough. It asks by XPENDING,
// which filters by idleness and knows the deliveries, and takes each only if it
// is still as it was seen, so two claimers do not both get a job.
func (w *Worker) claimPending(ctx context.Context, of string, idle time.Duration) ([]Job, error) {
	pending, err := w.Redis.commands.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: w.streamKey(), Group: workerGroup,
		Idle: idle, Start: "-", End: "+", Count: 64, Consumer: of}).Result()
	if err != nil {
		return nil, fmt.Errorf("pending jobs: %w", err)
	}

	var jobs []Job
	for _, p := range pending {
		least := idle
		if of == "" {
			least = retryDelay(idle, p.RetryCount)
		}
		if w.isHeld(p.ID) || p.Idle < least {
			continue
		}

		j, err := w.Redis.claimEntry(ctx, w.streamKey(), w.Consumer, p, least)
		if err != nil {
			return jobs, fmt.Errorf("claim job: %w", err)
		}
		if j != nil {
			jobs = append(jobs, *j)
		}
		if len(jobs) == w.Parallel {
			break
		}
	}
	return jobs, nil
}

// retryDelay is how long a job lies after its n-th delivery: doubling, so that an
// outage of a provider does not use up all deliveries at once.
func retryDelay(first time.Duration, n int64) time.Duration { return first << min(max(n-1, 0), 4) }

func decodeJob(m redis.XMessage, attempt int) Job {
	return Job{ID: readField(m, fieldID), Payload: []byte(readField(m, fieldPayload)), Attempt: attempt, entryID: m.ID}
}

// runJob runs one delivery and decides what becomes of the job.
func (w *Worker) runJob(ctx context.Context, j Job) {
	defer w.release(j)
	if int64(j.Attempt) > w.Deliveries { // its workers died over it
		w.deadLetter(ctx, j, fmt.Errorf("no worker survived it in %d deliveries", w.Deliveries))
		return
	}

	err := w.callHandler(ctx, j)
	switch {
	case err == nil:
		w.completeJob(ctx, j)
	case ctx.Err() != nil:
		// we stop, it is not the job's fault; it stays pending
	case isPermanent(err) || int64(j.Attempt) >= w.Deliveries:
		w.deadLetter(ctx, j, err)
	default:
		w.Redis.metrics.jobs.WithLabelValues("failed").Inc()
		w.Redis.log.Warn("job failed and will come back", "stream", w.Stream, "job", j.ID, "attempt", j.Attempt, "err", err)
	}
}

func (w *Worker) callHandler(ctx context.Context, j Job) (err error) {
	ctx, cancel := context.WithTimeout(ctx, w.Limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.Handle(ctx, j.ID, j.Payload)
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// completeJob acknowledges and forgets, even while we stop. When it fails the job
// comes back and has no effect.
func (w *Worker) completeJob(ctx context.Context, j Job) {
	w.Redis.metrics.jobs.WithLabelValues("done").Inc()
	if err := w.deleteEntry(ctx, j); err != nil {
		w.Redis.log.Debug("job done but not acknowledged", "job", j.ID, "err", err)
	}
}

func (w *Worker) deleteEntry(ctx context.Context, j Job) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*replyTimeout)
	defer cancel()
	pipe := w.Redis.commands.Pipeline()
	pipe.XAck(ctx, w.streamKey(), workerGroup, j.entryID)
	pipe.XDel(ctx, w.streamKey(), j.entryID)
	_, err := pipe.Exec(ctx)
	return err
}

// deadLetter writes the dead letter first and acknowledges after, so that a crash
// between repeats it but does not lose it. A job that has a letter already gets
// no second one.
func (w *Worker) deadLetter(ctx context.Context, j Job, why error) {
	if err := w.Redis.addDeadLetter(ctx, w.Stream, j, why, time.Now()); err != nil {
		w.Redis.log.Warn("dead letter not written, the job comes back", "job", j.ID, "err", err)
		return
	}
	w.Redis.metrics.jobs.WithLabelValues("dead").Inc()
	w.Redis.log.Error("job is a dead letter", "stream", w.Stream, "job", j.ID, "attempt", j.Attempt, "err", why)
	if err := w.deleteEntry(ctx, j); err != nil {
		w.Redis.log.Debug("dead letter not acknowledged", "job", j.ID, "err", err)
	}
	if w.OnDead != nil {
		w.OnDead(j, why)
	}
}

// renewHeld tells the others that the jobs in hand are being worked on.
func (w *Worker) renewHeld(ctx context.Context) {
	for sleep(ctx, w.Heartbeat) {
		w.mu.Lock()
		held := slices.Collect(maps.Keys(w.held))
		w.mu.Unlock()
		if len(held) == 0 {
			continue
		}
		if err := w.Redis.renewEntries(ctx, w.streamKey(), w.Consumer, held); err != nil && ctx.Err() == nil {
			w.Redis.log.Debug("jobs in hand not kept, another worker may repeat them", "err", err)
		}
	}
}

// handleReadError makes the group again when Redis forgot it, and otherwise waits a
// little.
func (w *Worker) handleReadError(ctx context.Context, err error, pause *backoff) {
	if ctx.Err() != nil {
		return
	}

	if isQueueMissing(err) {
		err = w.Redis.commands.XGroupCreateMkStream(ctx, w.streamKey(), workerGroup, "0").Err()
		var answer redis.Error
		exists := err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP")

		// only the worker that made the group, so that the jobs come once
		w.announceRecreated(err == nil || exists && w.maybeRecreated)
		if err == nil || exists {
			return
		}

		// it may have been made by us all the same
		w.maybeRecreated = w.maybeRecreated || !errors.As(err, &answer)
	}

	if pause.failures == 0 {
		w.Redis.log.Warn("no jobs can be read, trying again", "stream", w.Stream, "err", err)
	}
	sleep(ctx, pause.next())
}

// announceRecreated says that the queue is new, once Redis answers again: who queues the
// jobs needs it.
func (w *Worker) announceRecreated(anew bool) {
	if anew && w.OnLost != nil {
		w.OnLost()
	}
	w.maybeRecreated = w.maybeRecreated && !anew
}

// isQueueMissing is true when the group or its stream is not there: at the first
// start, and after Redis lost its data.
func isQueueMissing(err error) bool {
	s := err.Error()
	return strings.Contains(s, "NOGROUP") || strings.Contains(s, "UNBLOCKED")
}

func (w *Worker) streamKey() string { return w.Redis.streamKey(w.Stream) }

func (w *Worker) hold(j Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[j.entryID] = true
}

func (w *Worker) release(j Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, j.entryID)
}

func (w *Worker) isHeld(entry string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held[entry]
}
