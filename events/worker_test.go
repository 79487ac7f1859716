package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

const testHeartbeat = 60 * time.Millisecond

func (r *rig) countOutstanding(t *testing.T) int64 {
	n, err := r.CountOutstanding(t.Context(), "settlements")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *rig) enqueueJobs(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := r.EnqueueJob(t.Context(), "settlements", id, []byte("pay "+id)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJobsQueuedBeforeTheFirstWorkerAreDoneAndForgotten(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		r.enqueueJobs(t, "1", "2", "3")
		done := make(chan string, 10)
		w := &Worker{Redis: r.Redis, Stream: "settlements", Consumer: "a", Concurrency: 1,
			Handle: func(_ context.Context, id string, payload []byte) error {
				done <- id + ":" + string(payload)
				return nil
			}}
		startWork(t, w.Run)

		for _, id := range []string{"1", "2", "3"} {
			if got := receiveFrom(t, id, done); got != id+":pay "+id {
				t.Errorf("did %q", got)
			}
		}

		waitUntil(t, "an empty stream", func() bool { return r.countOutstanding(t) == 0 })
	})
}

func TestAnotherWorkerTakesOverFromOneThatDied(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		started, done := make(chan string, 1), make(chan string, 10)
		dying := &Worker{Redis: r.Redis, Stream: "settlements", Consumer: "dying", Heartbeat: testHeartbeat,
			Handle: func(ctx context.Context, id string, _ []byte) error { started <- id; <-ctx.Done(); return ctx.Err() }}
		kill := startWork(t, dying.Run)
		r.enqueueJobs(t, "1")
		receiveFrom(t, "the job to begin", started)

		kill()
		heir := &Worker{Redis: r.openNode(t), Stream: "settlements", Consumer: "heir", Heartbeat: testHeartbeat,
			Handle: func(_ context.Context, id string, _ []byte) error { done <- id; return nil }}
		startWork(t, heir.Run)
		receiveFrom(t, "the heir", done)
		waitUntil(t, "an empty stream", func() bool { return r.countOutstanding(t) == 0 })
	})
}

func TestAWorkerThatRestartsFinishesItsOwnJobsAtOnce(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		started, done := make(chan string, 1), make(chan string, 10)
		w := &Worker{Redis: r.Redis, Stream: "settlements", Consumer: "a", Heartbeat: time.Hour,
			Handle: func(ctx context.Context, id string, _ []byte) error { started <- id; <-ctx.Done(); return ctx.Err() }}
		kill := startWork(t, w.Run)
		r.enqueueJobs(t, "1")

		receiveFrom(t, "the job to begin", started)
		kill()
		again := &Worker{Redis: r.Redis, Stream: "settlements", Consumer: "a", Heartbeat: time.Hour,
			Handle: func(_ context.Context, id string, _ []byte) error { done <- id; return nil }}
		startWork(t, again.Run)
		receiveFrom(t, "its own job", done)
	})
}

func TestALongJobIsNotTakenFromAWorkerThatLives(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		var runs atomic.Int32
		begun, finish := make(chan struct{}, 9), make(chan struct{})
		slow := func(ctx context.Context, id string, _ []byte) error {
			runs.Add(1)
			begun <- struct{}{}

			select {
			case <-finish:
			case <-ctx.Done():
			}
			return ctx.Err()
		}

		for _, name := range []string{"a", "b"} {
			w := &Worker{Redis: r.openNode(t), Stream: "settlements", Consumer: name, Heartbeat: testHeartbeat, Handle: slow}
			startWork(t, w.Run)
		}

		r.enqueueJobs(t, "1")
		receiveFrom(t, "the job to begin", begun)

		select {
		case <-begun:
			t.Error("the job was taken over")
		case <-time.After(15 * testHeartbeat):
			// No signal says that nothing happens.
		}

		held, err := r.commands.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: r.streamKey("settlements"), Group: workerGroup,
			Start: "-", End: "+", Count: 9}).Result()
		if err != nil || len(held) != 1 || held[0].RetryCount != 1 {
			t.Errorf("keeping a job must not count as delivering it: %+v, %v", held, err)
		}

		close(finish)
		waitUntil(t, "an empty stream", func() bool { return r.countOutstanding(t) == 0 })
		if n := runs.Load(); n != 1 {
			t.Errorf("ran %d times", n)
		}
	})
}

type permanentError struct{ error }

func (permanentError) Permanent() bool { return true }

func TestPoisonBecomesADeadLetterAndTheOthersGoOn(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		var panics, sound atomic.Int32
		var cured atomic.Bool
		dead := make(chan Job, 10)
		w := &Worker{Redis: r.Redis, Stream: "settlements", Consumer: "a", Heartbeat: 10 * time.Millisecond,
			OnDeadLetter: func(j Job, _ error) { dead <- j },
			Handle: func(_ context.Context, id string, _ []byte) error {
				switch {
				case id == "panics" && !cured.Load():
					panics.Add(1)
					panic("poison")
				case id == "hopeless":
					return fmt.Errorf("card: %w", permanentError{errors.New("declined")})
				}

				sound.Add(1)
				return nil
			}}

		startWork(t, w.Run)
		r.enqueueJobs(t, "panics", "hopeless", "1", "2", "3", "4")
		waitUntil(t, "the sound jobs", func() bool { return sound.Load() == 4 })
		if j := receiveFrom(t, "the hopeless letter", dead); j.ID != "hopeless" || j.Attempt != 1 {
			t.Errorf("first dead letter %+v", j)
		}
		if j := receiveFrom(t, "the poison letter", dead); j.ID != "panics" || j.Attempt != 5 || panics.Load() != 5 {
			t.Errorf("second dead letter %+v after %d runs", j, panics.Load())
		}

		letters, err := r.DeadLetters(t.Context(), "settlements", 10)
		if err != nil || len(letters) != 2 || letters[1].Reason != "panic: poison" || string(letters[1].Payload) != "pay panics" {
			t.Fatalf("letters %+v, %v", letters, err)
		}

		cured.Store(true)
		if err := r.RetryDeadLetter(t.Context(), "settlements", letters[1].EntryID); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "the retried job", func() bool { return sound.Load() == 5 && r.countOutstanding(t) == 0 })
		for outcome, want := range map[string]float64{runDone: 5, runDoneLater: 0, runFailed: 4, runDead: 2} {
			if n := testutil.ToFloat64(r.metrics.jobRuns.WithLabelValues("settlements", outcome)); n != want {
				t.Errorf("%v runs are counted as %s, want %v", n, outcome, want)
			}
		}
		if waiting, dead, err := r.CountJobs(t.Context(), "settlements", "alerts"); err != nil || fmt.Sprint(waiting, dead) != "[0 0] [1 0]" {
			t.Errorf("it counts %v jobs and %v letters: %v", waiting, dead, err)
		}
		if err := r.RetryDeadLetter(t.Context(), "settlements", letters[1].EntryID); !errors.Is(err, ErrNoDeadLetter) {
			t.Errorf("retry of a letter that is gone: %v", err)
		}
	})
}

func TestAWorkerHealsAfterRedisForgotEverything(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		done, lost := make(chan string, 10), make(chan struct{}, 10)
		w := &Worker{Redis: r.Redis, Stream: "settlements", Consumer: "a", Heartbeat: testHeartbeat,
			Handle:      func(_ context.Context, id string, _ []byte) error { done <- id; return nil },
			OnQueueLost: func() { lost <- struct{}{} }}
		startWork(t, w.Run)
		receiveFrom(t, "word that the queue is new", lost)

		r.enqueueJobs(t, "1")
		receiveFrom(t, "the first job", done)
		r.deleteKeys(t)
		r.enqueueJobs(t, "2")
		receiveFrom(t, "word that the jobs are lost", lost)
		if id := receiveFrom(t, "the job after the flush", done); id != "2" {
			t.Errorf("did %q", id)
		}

		r.proxy.takeDown()
		r.proxy.bringUp()
		waitUntil(t, "the way back", func() bool { return r.EnqueueJob(t.Context(), "settlements", "3", nil) == nil })
		if id := receiveFrom(t, "the job after the outage", done); id != "3" {
			t.Errorf("did %q", id)
		}
	})
}

func TestEmbeddedNeedsNothingAndWantsItsPassword(t *testing.T) {
	r, err := OpenEmbedded(WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.CheckWritable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "redis://"+r.embedded.Addr()); err == nil {
		t.Error("a stranger got in without the password")
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for _, url := range []string{"http://x", "redis://127.0.0.1:1/0"} {
		if _, err := Open(t.Context(), url); err == nil {
			t.Errorf("%s was opened", url)
		}
	}
}

func TestADeletedQueueHoldsNeitherJobsNorLetters(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		before := r.CommandsSent()
		for _, id := range []string{"1", "2"} {
			if err := r.EnqueueJob(t.Context(), "jobs", id, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.addDeadLetter(t.Context(), "jobs", Job{ID: "3"}, errors.New("bad"), time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := r.DeleteQueue(t.Context(), "jobs"); err != nil {
			t.Fatal(err)
		}

		if n, err := r.CountOutstanding(t.Context(), "jobs"); n != 0 || err != nil {
			t.Errorf("%d jobs left, %v", n, err)
		}
		if letters, err := r.DeadLetters(t.Context(), "jobs", 10); len(letters) != 0 || err != nil {
			t.Errorf("%d dead letters left, %v", len(letters), err)
		}
		if n := r.CommandsSent() - before; n < 6 {
			t.Errorf("%d commands counted, want at least 6", n)
		}
	})
}

func TestOtherClientsReachTheEmbeddedServer(t *testing.T) {
	r, err := OpenEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	other, err := Open(t.Context(), r.EmbeddedURL())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()

	if err := other.EnqueueJob(t.Context(), "jobs", "1", nil); err != nil {
		t.Fatal(err)
	}
	if n, err := r.CountOutstanding(t.Context(), "jobs"); n != 1 || err != nil {
		t.Errorf("%d jobs, %v", n, err)
	}
	if other.EmbeddedURL() != "" {
		t.Error("a client of a server elsewhere says that it has one of its own")
	}
}
