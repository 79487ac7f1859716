package sqlite

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// jobHop is what a job of a sampled trip records of its commit.
type jobHop struct {
	trip  trips.TripID
	kind  *tracing.Kind
	phase tracing.Phase
	from  tracing.Part // empty: that of the kind
	since time.Time    // when the job was handed over

	// Set by the job.
	nth     int
	message string // identity of the outbox message; empty: it wrote none
}

// hopOf returns what a write records for a trip; nil for one that is not
// sampled.
func (db *database) hopOf(kind *tracing.Kind, phase tracing.Phase, id trips.TripID) *jobHop {
	if !db.tracer.Samples(string(id)) {
		return nil
	}
	return &jobHop{trip: id, kind: kind, phase: phase, since: db.tracer.Now()}
}

// setMessage notes which message the job wrote to the outbox.
func (h *jobHop) setMessage(identity string, nth int) {
	if h != nil {
		h.message, h.nth = identity, nth
	}
}

// hop returns a hop of the job.
func (h *jobHop) hop(kind *tracing.Kind, batch int) tracing.Hop {
	out := kind.Hop(h.phase, h.nth)
	out.Batch = batch
	if h.from != "" {
		out.From = h.from
	}
	return out
}

// recordBatch records how the sampled jobs of a batch waited, and their commit:
// one hop for all that wrote something, and one for each that did not.
// failure is that of the whole batch, which also those have who did not wait for
// it.
func (w *writer) recordBatch(batch []*job, failure error, began, ended time.Time) {
	shared := map[*tracing.Kind][]*jobHop{}
	for _, j := range batch {
		h := j.hop
		if h == nil {
			continue
		}
		w.tracer.Record(string(h.trip), h.hop(tracing.CommitWait, len(batch)), h.since, began)
		err := cmp.Or(j.err, failure)
		if err == nil && h.message != "" {
			shared[h.kind] = append(shared[h.kind], h)
			continue
		}

		out := h.hop(h.kind, len(batch))
		out.IsFailure = err != nil
		out.Code, out.Reason = explainOutcome(err)
		w.tracer.Record(string(h.trip), out, began, ended)
	}

	for kind, all := range shared {
		w.recordCommit(kind, all, len(batch), began, ended)
	}
}

// recordCommit records the commit of jobs that wrote something. A job that was
// alone has it in the trace of its trip.
func (w *writer) recordCommit(kind *tracing.Kind, all []*jobHop, batch int, began, ended time.Time) {
	out := all[0].hop(kind, batch)
	if batch == 1 {
		out.Key = "commit:" + all[0].message
		w.tracer.Record(string(all[0].trip), out, began, ended)
		return
	}

	var shared []tracing.Shared
	for _, h := range all {
		shared = append(shared, tracing.Shared{ID: string(h.trip), Phase: h.phase, Nth: h.nth, Key: "commit:" + h.message})
	}
	w.tracer.RecordBatch(shared, out, began, ended)
}

// explainOutcome returns a short code and a sentence for a job that wrote
// nothing.
func explainOutcome(err error) (code, reason string) {
	switch {
	case err == nil:
		return "known", "It had been written; the same answer was given again."
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return "cancelled", "The caller left before its turn."
	case errors.Is(err, trips.ErrConflict):
		return "conflict", "Another move was faster: " + err.Error()
	}
	return "refused", "It was not written: " + err.Error()
}
