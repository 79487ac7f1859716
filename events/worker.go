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

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/tracing"
)

// Worker does the jobs of a stream. Set the fields, then call Run; zero values
// stand for the numbers in brackets.
//
// Handle comes first and the acknowledgement last, so a job may be done twice
// but is never skipped: Handle must be idempotent by the job's id. It is called
// from up to Concurrency goroutines. After an error the job comes back later,
// each time after a longer wait. It becomes a dead letter after MaxDeliveries,
// or at once if the error has a method Permanent() bool that returns true.
type Worker struct {
	Redis  *Redis
	Stream string
	// Consumer is the node's name. It is the same after a restart, so that the
	// worker finds its own unfinished jobs.
	Consumer    string
	Handle      func(ctx context.Context, jobID string, payload []byte) error
	Concurrency int // jobs at a time [4]
	// Heartbeat is how often a worker renews its hold on the jobs in hand [1
	// s]. A job whose worker is silent for three heartbeats is taken over.
	Heartbeat     time.Duration
	JobTimeout    time.Duration // for one delivery [30 s]
	MaxDeliveries int64         // before a job is a dead letter [5]

	// OnDeadLetter, if set, is called with each job that became a dead letter,
	// on the goroutine that ran it.
	OnDeadLetter func(Job, error)
	// OnQueueLost, if set, is called when Redis had no such queue: it lost all
	// jobs, or never had any. The caller queues them again. It runs on Run's
	// goroutine and must not block.
	OnQueueLost func()

	// Phase is the part of a trip that the jobs are, if their ids are those of
	// trips; empty: no hop is recorded.
	Phase tracing.Phase

	mu     sync.Mutex        // guards held and failed
	held   map[string]bool   // entries in hand
	failed map[string]string // why entries failed that will come back, of sampled trips

	// maybeRecreated belongs to the goroutine in Run: this worker may have
	// created the queue anew, and OnQueueLost was not called for that yet.
	maybeRecreated bool
}

const workerGroup = "workers"

// Run works until ctx ends and the jobs under way have ended with it. It returns
// ctx's error.
func (w *Worker) Run(ctx context.Context) error {
	w.Concurrency = cmp.Or(w.Concurrency, 4)
	w.Heartbeat = cmp.Or(w.Heartbeat, time.Second)
	w.JobTimeout = cmp.Or(w.JobTimeout, 30*time.Second)
	w.MaxDeliveries = cmp.Or(w.MaxDeliveries, 5)
	w.held = map[string]bool{}
	var running sync.WaitGroup
	defer running.Wait()

	running.Go(func() { w.renewHeld(ctx) })
	slots := make(chan struct{}, w.Concurrency)
	pause := backoff{step: 50 * time.Millisecond}
	own := true // begin with the jobs that this worker held when it stopped
	var claimedAt time.Time

	for ctx.Err() == nil {
		if !acquireSlot(ctx, slots) {
			break
		}

		jobs, err := w.nextJobs(ctx, own, &claimedAt)
		<-slots
		if err != nil {
			w.handleReadError(ctx, err, &pause)
			continue
		}
		w.announceRecreated(w.maybeRecreated)
		own = own && len(jobs) > 0
		pause.reset()

		for _, j := range jobs { // renew them all while they wait for a slot
			w.holdJob(j)
		}

		for _, j := range jobs {
			if !acquireSlot(ctx, slots) {
				break // unfinished jobs stay pending
			}
			running.Go(func() { defer func() { <-slots }(); w.runJob(ctx, j) })
		}
	}
	return ctx.Err()
}

// acquireSlot waits for a free slot. It returns false when ctx ended.
func acquireSlot(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// nextJobs returns jobs: first this worker's own from before a restart, then
// those whose worker fell silent, then new ones.
func (w *Worker) nextJobs(ctx context.Context, own bool, claimedAt *time.Time) ([]Job, error) {
	if own {
		return w.claimPending(ctx, w.Consumer, 0)
	}

	if time.Since(*claimedAt) >= w.Heartbeat {
		*claimedAt = time.Now()
		if jobs, err := w.claimPending(ctx, "", 3*w.Heartbeat); err != nil || len(jobs) > 0 {
			return jobs, err
		}
	}
	return w.readNew(ctx)
}

// readNew waits up to readBlock for a new job.
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

// claimPending takes over pending jobs that have been idle long enough, at most
// Concurrency. XPENDING filters by idle time and knows the deliveries. Each job
// is claimed only if it is still as it was seen, so that of two workers only
// one gets it.
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
			j.delivery = delivery{holder: p.Consumer, idle: p.Idle}
			jobs = append(jobs, *j)
		}
		if len(jobs) == w.Concurrency {
			break
		}
	}

	return jobs, nil
}

// retryDelay is how long a job waits after its n-th delivery. It doubles, so
// that an outage of a provider does not use up all deliveries at once.
func retryDelay(first time.Duration, n int64) time.Duration { return first << min(max(n-1, 0), 4) }

// decodeJob reads the job of a stream entry.
func decodeJob(m redis.XMessage, attempt int) Job {
	return Job{ID: readField(m, fieldID), Payload: []byte(readField(m, fieldPayload)), Attempt: attempt, entryID: m.ID,
		isRequeued: readField(m, fieldRequeued) != ""}
}

// runJob runs one delivery and decides what becomes of the job.
func (w *Worker) runJob(ctx context.Context, j Job) {
	defer w.releaseJob(j)
	w.recordWait(j)
	if int64(j.Attempt) > w.MaxDeliveries {
		// Its workers died while they ran it.
		w.deadLetter(ctx, j, fmt.Errorf("no worker survived it in %d deliveries", w.MaxDeliveries))
		return
	}

	err := w.callHandler(ctx, j)
	w.noteFailure(j, err)
	switch {
	case err == nil:
		w.completeJob(ctx, j)
	case ctx.Err() != nil:
		// The worker stops, so the job is not to blame. It stays pending.
		w.countRun(runFailed)
	case isPermanent(err) || int64(j.Attempt) >= w.MaxDeliveries:
		w.deadLetter(ctx, j, err)
	default:
		w.Redis.metrics.jobs.WithLabelValues("failed").Inc()
		w.countRun(runFailed)
		w.Redis.log.Warn("job failed and will come back", "stream", w.Stream, "job", j.ID, "attempt", j.Attempt, "err", err)
	}
}

// What became of one delivery of a job.
const (
	runDone      = "done"
	runDoneLater = "done_later"
	runFailed    = "failed" // it comes back
	runDead      = "dead"
)

func (w *Worker) countRun(outcome string) {
	w.Redis.metrics.jobRuns.WithLabelValues(w.Stream, outcome).Inc()
}

// callHandler calls Handle within JobTimeout and turns a panic into an error.
func (w *Worker) callHandler(ctx context.Context, j Job) (err error) {
	ctx, cancel := context.WithTimeout(ctx, w.JobTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.Handle(ctx, j.ID, j.Payload)
}

// isPermanent reports whether the error says that repeating the job is useless.
func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// completeJob acknowledges and deletes the job, even while the worker stops. If
// that fails the job comes back, and doing it again has no effect.
func (w *Worker) completeJob(ctx context.Context, j Job) {
	w.Redis.metrics.jobs.WithLabelValues("done").Inc()
	if j.Attempt > 1 {
		w.countRun(runDoneLater)
	} else {
		w.countRun(runDone)
	}
	if err := w.deleteEntry(ctx, j); err != nil {
		w.Redis.log.Debug("job done but not acknowledged", "job", j.ID, "err", err)
	}
}

// deleteEntry acknowledges a stream entry and deletes it, both or neither: an
// entry that is only acknowledged would stay for ever.
func (w *Worker) deleteEntry(ctx context.Context, j Job) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*replyTimeout)
	defer cancel()
	pipe := w.Redis.commands.TxPipeline()
	pipe.XAck(ctx, w.streamKey(), workerGroup, j.entryID)
	pipe.XDel(ctx, w.streamKey(), j.entryID)
	_, err := pipe.Exec(ctx)
	return err
}

// deadLetter writes the dead letter first and acknowledges after, so that a
// crash between the two repeats the letter instead of losing it. A job that has
// a letter already gets no second one.
func (w *Worker) deadLetter(ctx context.Context, j Job, why error) {
	if err := w.Redis.addDeadLetter(ctx, w.Stream, j, why, time.Now()); err != nil {
		w.countRun(runFailed)
		w.Redis.log.Warn("dead letter not written; the job comes back", "job", j.ID, "err", err)
		return
	}
	w.noteFailure(j, nil)
	w.Redis.metrics.jobs.WithLabelValues("dead").Inc()
	w.countRun(runDead)
	w.Redis.log.Error("job is a dead letter", "stream", w.Stream, "job", j.ID, "attempt", j.Attempt, "err", why)
	if err := w.deleteEntry(ctx, j); err != nil {
		w.Redis.log.Debug("dead letter not acknowledged", "job", j.ID, "err", err)
	}
	if w.OnDeadLetter != nil {
		w.OnDeadLetter(j, why)
	}
}

// renewHeld tells the other workers regularly that the jobs in hand are being
// worked on.
func (w *Worker) renewHeld(ctx context.Context) {
	for sleep.For(ctx, w.Heartbeat) {
		w.mu.Lock()
		held := slices.Collect(maps.Keys(w.held))
		w.mu.Unlock()
		if len(held) == 0 {
			continue
		}
		if err := w.Redis.renewEntries(ctx, w.streamKey(), w.Consumer, held); err != nil && ctx.Err() == nil {
			w.Redis.log.Debug("jobs in hand not renewed; another worker may repeat them", "err", err)
		}
	}
}

// handleReadError creates the group again when Redis has lost it. Otherwise it
// waits before the next attempt.
func (w *Worker) handleReadError(ctx context.Context, err error, pause *backoff) {
	if ctx.Err() != nil {
		return
	}

	if isQueueMissing(err) {
		err = w.Redis.commands.XGroupCreateMkStream(ctx, w.streamKey(), workerGroup, "0").Err()
		var answer redis.Error
		exists := err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP")

		// Only the worker that created the group announces it, so that the jobs
		// are queued again once.
		w.announceRecreated(err == nil || exists && w.maybeRecreated)
		if err == nil || exists {
			return
		}

		// Without an answer the group may have been created all the same.
		w.maybeRecreated = w.maybeRecreated || !errors.As(err, &answer)
	}

	if pause.failures == 0 {
		w.Redis.log.Warn("cannot read jobs; trying again", "stream", w.Stream, "err", err)
	}
	sleep.For(ctx, pause.next())
}

// announceRecreated calls OnQueueLost if the queue was created anew, and notes
// that it has been called.
func (w *Worker) announceRecreated(recreated bool) {
	if recreated && w.OnQueueLost != nil {
		w.OnQueueLost()
	}
	w.maybeRecreated = w.maybeRecreated && !recreated
}

// isQueueMissing reports whether the group or its stream does not exist: at the
// first start, and after Redis lost its data.
func isQueueMissing(err error) bool {
	s := err.Error()
	return strings.Contains(s, "NOGROUP") || strings.Contains(s, "UNBLOCKED")
}

func (w *Worker) streamKey() string { return w.Redis.streamKey(w.Stream) }

func (w *Worker) holdJob(j Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[j.entryID] = true
}

func (w *Worker) releaseJob(j Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, j.entryID)
}

func (w *Worker) isHeld(entry string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held[entry]
}
