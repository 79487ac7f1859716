package events

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// deliverTo queues jobs and delivers them to one consumer. It returns them as
// pending.
func (r *rig) deliverTo(t *testing.T, to string, ids ...string) []redis.XPendingExt {
	t.Helper()
	key := r.streamKey("settlements")
	if err := r.commands.XGroupCreateMkStream(t.Context(), key, workerGroup, "0").Err(); err != nil {
		t.Fatal(err)
	}

	r.enqueueJobs(t, ids...)
	if err := r.commands.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: workerGroup, Consumer: to,
		Streams: []string{key, ">"}}).Err(); err != nil {
		t.Fatal(err)
	}
	return r.listPending(t)
}

func (r *rig) listPending(t *testing.T) []redis.XPendingExt {
	t.Helper()
	p, err := r.commands.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: r.streamKey("settlements"), Group: workerGroup,
		Start: "-", End: "+", Count: 9}).Result()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAWorkerThatWasStoppedDoesNotTakeItsJobBackFromTheHeir(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		key := r.streamKey("settlements")
		before := r.deliverTo(t, "stopped", "1", "2")
		if j, err := r.claimEntry(t.Context(), key, "heir", before[0], 0); err != nil || j == nil || j.ID != "1" || j.Attempt != 2 ||
			string(j.Payload) != "pay 1" {
			t.Fatalf("the heir got %+v, %v", j, err)
		}
		if err := r.renewEntries(t.Context(), key, "stopped", []string{before[0].ID, before[1].ID, "1-1"}); err != nil {
			t.Fatal(err)
		}

		now := r.listPending(t)
		if len(now) != 2 || now[0].Consumer != "heir" || now[0].RetryCount != 2 || now[1].Consumer != "stopped" || now[1].RetryCount != 1 {
			t.Errorf("pending %+v", now)
		}
		if j, err := r.claimEntry(t.Context(), key, "stopped", before[0], 0); j != nil || err != nil {
			t.Errorf("by what it saw before it was stopped, it took %+v, %v", j, err)
		}
		if err := (&Worker{Redis: r.Redis, Stream: "settlements"}).deleteEntry(t.Context(), Job{entryID: before[0].ID}); err != nil {
			t.Fatal(err)
		}
		if j, err := r.claimEntry(t.Context(), key, "third", now[0], 0); j != nil || err != nil {
			t.Errorf("a job that was done was taken again: %+v, %v", j, err)
		}
	})
}

func TestOfTwoWhoSawAJobRestOneGetsIt(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		seen := r.deliverTo(t, "dead", "1")
		waitUntil(t, "the job to rest", func() bool { return r.listPending(t)[0].Idle >= testHeartbeat })

		var got int
		for _, name := range []string{"a", "b"} {
			j, err := r.claimEntry(t.Context(), r.streamKey("settlements"), name, seen[0], testHeartbeat)
			if err != nil {
				t.Fatal(err)
			}
			if j != nil {
				got++
			}
		}

		if got != 1 {
			t.Errorf("%d of two got it", got)
		}
	})
}

func TestAJobThatFailsAgainAndAgainLeavesOneLetter(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		dead := make(chan Job, 10)
		w := &Worker{Redis: r.Redis, Stream: "settlements", Consumer: "a", OnDeadLetter: func(j Job, _ error) { dead <- j },
			Handle: func(context.Context, string, []byte) error { return permanentError{errors.New("declined")} }}
		startWork(t, w.Run)
		letters := func(want int) []DeadLetter {
			t.Helper()
			l, err := r.DeadLetters(t.Context(), "settlements", 10)
			if err != nil || len(l) != want {
				t.Fatalf("letters %+v, %v; want %d", l, err, want)
			}
			return l
		}

		for range 3 {
			// Each time the reconciler finds the trip unpaid, the card is
			// declined.
			r.enqueueJobs(t, "1", "2")
			receiveFrom(t, "a job to be given up", dead)
			receiveFrom(t, "the other to be given up", dead)
		}

		first := letters(2)[0]
		if err := r.RetryDeadLetter(t.Context(), "settlements", first.EntryID); err != nil {
			t.Fatal(err)
		}

		receiveFrom(t, "the retried job to be given up", dead)
		if l := letters(2); l[1].ID != first.ID || l[1].EntryID == first.EntryID {
			t.Errorf("after a retry in vain: %+v, first %+v", l, first)
		}

		// The letter is deleted by hand, without its index entry.
		if err := r.commands.XDel(t.Context(), r.deadKey("settlements"), letters(2)[0].EntryID).Err(); err != nil {
			t.Fatal(err)
		}

		r.enqueueJobs(t, "1", "2")
		receiveFrom(t, "a job to be given up", dead)
		receiveFrom(t, "the other to be given up", dead)
		letters(2)
	})
}

// losesAnswer lets the first XGROUP be carried out and loses its answer.
type losesAnswer struct {
	redis.Hook
	lost atomic.Bool
}

func (h *losesAnswer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *losesAnswer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *losesAnswer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == "xgroup" && h.lost.CompareAndSwap(false, true) {
			cmd.SetErr(io.ErrUnexpectedEOF)
			return io.ErrUnexpectedEOF
		}
		return err
	}
}

func TestJobsAreQueuedAgainAlthoughTheAnswerThatTheQueueIsNewWasLost(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		h := new(losesAnswer)
		r.commands.AddHook(h)
		lost := make(chan struct{}, 10)
		w := &Worker{Redis: r.Redis, Stream: "settlements", Consumer: "a", OnQueueLost: func() { lost <- struct{}{} },
			Handle: func(context.Context, string, []byte) error { return nil }}
		stop := startWork(t, w.Run)
		receiveFrom(t, "word that the queue is new", lost)
		stop()
		if len(lost) > 0 || !h.lost.Load() {
			t.Errorf("told %d times more; answer lost: %t", len(lost), h.lost.Load())
		}
	})
}
