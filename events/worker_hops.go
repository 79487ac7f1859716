package events

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/tracing"
)

// delivery is how a job came to this worker.
type delivery struct {
	holder string        // whose it was before; empty: it is new
	idle   time.Duration // since that one was last heard of
}

// failureOf returns why a job failed here last; empty if it did not.
func (w *Worker) failureOf(j Job) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed[j.entryID]
}

// noteFailure keeps why a sampled job failed, for its next delivery; nil: it is
// done.
func (w *Worker) noteFailure(j Job, err error) {
	if w.Phase == "" || !w.Redis.tracer.Samples(j.ID) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.failed, j.entryID)
		return
	}
	if w.failed == nil || len(w.failed) >= maxFailed {
		w.failed = map[string]string{} // of jobs that others took over
	}
	w.failed[j.entryID] = err.Error()
}

// maxFailed bounds the failures that are kept for the next delivery.
const maxFailed = 1000

// recordWait records how long a job of a sampled trip waited, which delivery this
// is, and why it came again.
func (w *Worker) recordWait(j Job) {
	if w.Phase == "" || !w.Redis.tracer.Samples(j.ID) {
		return
	}

	now := w.Redis.tracer.Now()
	h := tracing.JobWait.Hop(w.Phase, 0)
	h.Code = fmt.Sprintf("delivery_%d", j.Attempt)
	began := now.Add(-j.delivery.idle)
	if j.isRequeued { // another job of the same trip
		h.Reason = "Queued beside the relay's own job, by the provider's webhook, the reconciler or an operator. "
	} else {
		h.Cause = jobKey
	}

	switch failure := w.failureOf(j); {
	case j.Attempt <= 1:
		began = cmp.Or(addedAt(j.entryID), now)
		h.Reason += "It was added at that time by Redis' clock, which its entry on the stream tells."
	case failure != "":
		h.Reason += fmt.Sprintf("Delivery %d: the one before failed here (%s), and the job rested for %v.", j.Attempt, failure, j.delivery.idle.Round(time.Millisecond))
	default:
		h.Reason += fmt.Sprintf("Delivery %d: the worker %s had it, did not finish it, and was last heard of %v before.",
			j.Attempt, j.delivery.holder, j.delivery.idle.Round(time.Millisecond))
	}
	w.Redis.tracer.Record(j.ID, h, began, now)
}

// addedAt returns when an entry was added, by the clock of Redis; zero if its id
// does not tell.
func addedAt(entry string) time.Time {
	ms, _, _ := strings.Cut(entry, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
