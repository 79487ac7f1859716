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
	busy map[string]bool // entries in hand

	// of the goroutine in Run: the queue was perhaps made anew, and nobody told
	unsure bool
}

const group = "workers"

// Run works until ctx ends and the jobs in hand have ended with it. It returns
// ctx's error.
func (w *Worker) Run(ctx context.Context) error {
	w.Parallel = cmp.Or(w.Parallel, 4)
	w.Heartbeat = cmp.Or(w.Heartbeat, time.Second)
	w.Limit = cmp.Or(w.Limit, 30*time.Second)
	w.Deliveries = cmp.Or(w.Deliveries, 5)
	w.busy = map[string]bool{}
	var hands sync.WaitGroup
	defer hands.Wait()

	hands.Go(func() { w.keepHeld(ctx) })
	free := make(chan struct{}, w.Parallel)
	pause := backoff{step: 50 * time.Millisecond}
	own := true // first of all, what this worker held when it went down
	var looked time.Time
	for ctx.Err() == nil {
		if !reserve(ctx, free) {
			break
		}

		jobs, err := w.next(ctx, own, &looked)
		<-free
		if err != nil {
			w.trouble(ctx, err, &pause)
			continue
		}
		w.tell(w.unsure)
		own = own && len(jobs) > 0
		pause.reset()
		for _, j := range jobs { // keep them all while they wait for a hand
			w.hold(j)
		}

		for _, j := range jobs {
			if !reserve(ctx, free) {
				break // unfinished jobs stay pending
			}
			hands.Go(func() { defer func() { <-free }(); w.do(ctx, j) })
		}
	}
	return ctx.Err()
}

// reserve waits for a free hand; false when ctx ended.
func reserve(ctx context.Context, free chan struct{}) bool {
	select {
	case free <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// next finds jobs: this worker's own from before, then those whose worker fell
// silent, then new ones.
func (w *Worker) next(ctx context.Context, own bool, looked *time.Time) ([]Job, error) {
	if own {
		return w.claim(ctx, w.Consumer, 0)
	}

	if time.Since(*looked) >= w.Heartbeat {
		*looked = time.Now()
		if jobs, err := w.claim(ctx, "", 3*w.Heartbeat); err != nil || len(jobs) > 0 {
			return jobs, err
		}
	}
	return w.read(ctx)
}

// read waits a little for a new job.
func (w *Worker) read(ctx context.Context) ([]Job, error) {
	ctx, cancel := context.WithTimeout(ctx, block+replyTimeout)
	defer cancel()

	found, err := w.Redis.wait.XReadGroup(ctx, &redis.XReadGroupArgs{Group: group, Consumer: w.Consumer,
		Streams: []string{w.key(), ">"}, Count: 1, Block: block}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}

	var jobs []Job
	for _, s := range found {
		for _, m := range s.Messages {
			jobs = append(jobs, jobOf(m, 1))
		}
	}

	return jobs, nil
}

// claim takes over pending jobs that rested long enough. It asks by XPENDING,
// which filters by idleness and knows the deliveries, and takes each only if it
// is still as it was seen, so two claimers do not both get a job.
func (w *Worker) claim(ctx context.Context, of string, idle time.Duration) ([]Job, error) {
	pending, err := w.Redis.do.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: w.key(), Group: group,
		Idle: idle, Start: "-", End: "+", Count: 64, Consumer: of}).Result()
	if err != nil {
		return nil, fmt.Errorf("pending jobs: %w", err)
	}

	var jobs []Job
	for _, p := range pending {
		least := idle
		if of == "" {
			least = rest(idle, p.RetryCount)
		}
		if w.holds(p.ID) || p.Idle < least {
			continue
		}

		j, err := w.Redis.take(ctx, w.key(), w.Consumer, p, least)
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

// rest is how long a job lies after its n-th delivery: doubling, so that an
// outage of a provider does not use up all deliveries at once.
func rest(first time.Duration, n int64) time.Duration { return first << min(max(n-1, 0), 4) }

func jobOf(m redis.XMessage, attempt int) Job {
	return Job{ID: field(m, fieldID), Payload: []byte(field(m, fieldPayload)), Attempt: attempt, entry: m.ID}
}

// do runs one delivery and decides what becomes of the job.
func (w *Worker) do(ctx context.Context, j Job) {
	defer w.letGo(j)
	if int64(j.Attempt) > w.Deliveries { // its workers died over it
		w.bury(ctx, j, fmt.Errorf("no worker survived it in %d deliveries", w.Deliveries))
		return
	}

	err := w.try(ctx, j)
	switch {
	case err == nil:
		w.done(ctx, j)
	case ctx.Err() != nil:
		// we stop, it is not the job's fault; it stays pending
	case permanent(err) || int64(j.Attempt) >= w.Deliveries:
		w.bury(ctx, j, err)
	default:
		w.Redis.stats.jobs.WithLabelValues("failed").Inc()
		w.Redis.log.Warn("job failed and will come back", "stream", w.Stream, "job", j.ID, "attempt", j.Attempt, "err", err)
	}
}

func (w *Worker) try(ctx context.Context, j Job) (err error) {
	ctx, cancel := context.WithTimeout(ctx, w.Limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.Handle(ctx, j.ID, j.Payload)
}

func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// done acknowledges and forgets, even while we stop. When it fails the job
// comes back and has no effect.
func (w *Worker) done(ctx context.Context, j Job) {
	w.Redis.stats.jobs.WithLabelValues("done").Inc()
	if err := w.forget(ctx, j); err != nil {
		w.Redis.log.Debug("job done but not acknowledged", "job", j.ID, "err", err)
	}
}

func (w *Worker) forget(ctx context.Context, j Job) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*replyTimeout)
	defer cancel()
	pipe := w.Redis.do.Pipeline()
	pipe.XAck(ctx, w.key(), group, j.entry)
	pipe.XDel(ctx, w.key(), j.entry)
	_, err := pipe.Exec(ctx)
	return err
}

// bury writes the dead letter first and acknowledges after, so that a crash
// between repeats it but does not lose it. A job that has a letter already gets
// no second one.
func (w *Worker) bury(ctx context.Context, j Job, why error) {
	if err := w.Redis.letter(ctx, w.Stream, j, why, time.Now()); err != nil {
		w.Redis.log.Warn("dead letter not written, the job comes back", "job", j.ID, "err", err)
		return
	}
	w.Redis.stats.jobs.WithLabelValues("dead").Inc()
	w.Redis.log.Error("job is a dead letter", "stream", w.Stream, "job", j.ID, "attempt", j.Attempt, "err", why)
	if err := w.forget(ctx, j); err != nil {
		w.Redis.log.Debug("dead letter not acknowledged", "job", j.ID, "err", err)
	}
	if w.OnDead != nil {
		w.OnDead(j, why)
	}
}

// keepHeld tells the others that the jobs in hand are being worked on.
func (w *Worker) keepHeld(ctx context.Context) {
	for sleep(ctx, w.Heartbeat) {
		w.mu.Lock()
		held := slices.Collect(maps.Keys(w.busy))
		w.mu.Unlock()
		if len(held) == 0 {
			continue
		}
		if err := w.Redis.keep(ctx, w.key(), w.Consumer, held); err != nil && ctx.Err() == nil {
			w.Redis.log.Debug("jobs in hand not kept, another worker may repeat them", "err", err)
		}
	}
}

// trouble makes the group again when Redis forgot it, and otherwise waits a
// little.
func (w *Worker) trouble(ctx context.Context, err error, pause *backoff) {
	if ctx.Err() != nil {
		return
	}

	if forgotten(err) {
		err = w.Redis.do.XGroupCreateMkStream(ctx, w.key(), group, "0").Err()
		var answer redis.Error
		exists := err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP")

		// only the worker that made the group, so that the jobs come once
		w.tell(err == nil || exists && w.unsure)
		if err == nil || exists {
			return
		}

		// it may have been made by us all the same
		w.unsure = w.unsure || !errors.As(err, &answer)
	}

	if pause.n == 0 {
		w.Redis.log.Warn("no jobs can be read, trying again", "stream", w.Stream, "err", err)
	}
	sleep(ctx, pause.next())
}

// tell says that the queue is new, once Redis answers again: who queues the
// jobs needs it.
func (w *Worker) tell(anew bool) {
	if anew && w.OnLost != nil {
		w.OnLost()
	}
	w.unsure = w.unsure && !anew
}

// forgotten is true when the group or its stream is not there: at the first
// start, and after Redis lost its data.
func forgotten(err error) bool {
	s := err.Error()
	return strings.Contains(s, "NOGROUP") || strings.Contains(s, "UNBLOCKED")
}

func (w *Worker) key() string { return w.Redis.streamKey(w.Stream) }

func (w *Worker) hold(j Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy[j.entry] = true
}

func (w *Worker) letGo(j Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, j.entry)
}

func (w *Worker) holds(entry string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy[entry]
}
