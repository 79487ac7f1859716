package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// moveHops is what the hops of a sampled move need. Of other moves it is zero.
type moveHops struct {
	since time.Time // when the move began to wait for its group
	// isDoubtful says that a statement with this move failed, and may have been
	// committed all the same.
	isDoubtful bool
}

// hopOf returns a hop of the phase that a move ends. A node's own move, such as
// the end of a search, comes from dispatch.
func hopOf(kind *tracing.Kind, r *moveRow) tracing.Hop {
	h := kind.Hop(tracing.PhaseOf(r.event.Kind), 0)
	if r.key.Actor.Role == trips.RoleSystem {
		h.From = tracing.Dispatch
	}
	return h
}

// commitKey names the statement that committed a move.
func commitKey(r *moveRow) string { return "commit:" + tracing.EventID(r.event.Seq()) }

// markWaiting notes when a sampled move began to wait.
func (g *groupCommitter) markWaiting(r *moveRow) {
	if g.tracer.Samples(string(r.id)) {
		r.hops.since = g.tracer.Now()
	}
}

// statementWatch measures a statement with sampled moves. Without such moves it
// is zero and reads no clock.
type statementWatch struct {
	tracer       *tracing.Tracer
	began, ended time.Time
	err          error
}

// watchStatement begins to measure the statement of a group.
func (g *groupCommitter) watchStatement(group []*pendingMove) statementWatch {
	for _, w := range group {
		if !w.hops.since.IsZero() {
			return statementWatch{tracer: g.tracer, began: g.tracer.Now()}
		}
	}
	return statementWatch{}
}

// noteEnd ends the measurement. It is called before the callers are answered,
// and record after that: they do not wait for it.
func (s *statementWatch) noteEnd(group []*pendingMove, fits []bool, err error) {
	if s.began.IsZero() {
		return
	}
	s.ended, s.err = s.tracer.Now(), err
	for i, w := range group {
		w.hops.isDoubtful = w.hops.isDoubtful || fits[i] && err != nil
	}
}

// record records how the sampled moves of a group waited, and the statement.
func (s *statementWatch) record(group []*pendingMove, fits []bool, made map[trips.TripID]bool) {
	if s.began.IsZero() {
		return
	}

	moves := 0
	var sampled []*moveRow
	for i, w := range group {
		if fits[i] {
			moves++
		}
		if w.hops.since.IsZero() {
			continue
		}

		wait := hopOf(tracing.CommitWait, w.moveRow)
		wait.Batch = len(group)
		if fits[i] {
			sampled = append(sampled, w.moveRow)
		} else {
			wait.IsFailure, wait.Code = true, "conflict"
			wait.Reason = "Another move of this group has the same trip, driver, rider or command; this one is sent alone after it."
		}
		s.tracer.Record(string(w.id), wait, w.hops.since, s.began)
	}
	s.recordStatement(sampled, moves, made)
}

// recordStatement records the statement: once for all sampled moves that it
// made, and once for each that it did not.
func (s *statementWatch) recordStatement(sampled []*moveRow, moves int, made map[trips.TripID]bool) {
	var done []*moveRow
	for _, r := range sampled {
		if made[r.id] {
			done = append(done, r)
		} else {
			s.tracer.Record(string(r.id), failedStatement(r, moves, s.err), s.began, s.ended)
		}
	}
	recordMade(s.tracer, done, moves, s.began, s.ended)
}

// recordMade records a statement for the sampled moves among those that it made.
// A move that was alone has it in its own trace.
func recordMade(t *tracing.Tracer, made []*moveRow, moves int, began, ended time.Time) {
	if len(made) == 0 {
		return
	}
	h := hopOf(tracing.Statement, made[0])
	h.Batch = moves
	if moves == 1 {
		h.Key = commitKey(made[0])
		t.Record(string(made[0].id), h, began, ended)
		return
	}

	var shared []tracing.Shared
	for _, r := range made {
		shared = append(shared, tracing.Shared{ID: string(r.id), Phase: tracing.PhaseOf(r.event.Kind), Key: commitKey(r)})
	}
	t.RecordBatch(shared, h, began, ended)
}

// failedStatement returns the hop of a move that a statement did not make, as
// far as is known.
func failedStatement(r *moveRow, moves int, err error) tracing.Hop {
	h := hopOf(tracing.Statement, r)
	h.Batch, h.IsFailure = moves, true
	if h.Code, h.Reason = explainFailure(err); err == nil {
		h.Code, h.Reason = "conflict", "A guard refused the move, because another one was faster or the command is known: it is read back."
	}
	return h
}

// explainFailure returns a short code and a sentence for an error of the server,
// or of the way to it.
func explainFailure(err error) (code, reason string) {
	refusal := new(pgconn.PgError)
	switch {
	case err == nil:
		return "", ""
	case errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err):
		return "timeout", "The server did not answer in time; the statement may have been committed."
	case errors.Is(err, context.Canceled):
		return "cancelled", "The caller left before the answer; the statement may have been committed."
	case !errors.As(err, &refusal):
		return "unavailable", "The connection to the server was lost, and with it the answer: " + err.Error()
	case refusal.Code == uniqueViolation || refusal.Code[:2] == "40":
		return "conflict", "Another transaction was faster, and the whole group was rolled back: " + refusal.Message
	case losesSession(refusal):
		return "unavailable", "The server ended the session: " + refusal.Message
	}
	return "refused", "The server refused the statement: " + refusal.Message
}

// recordReadBack records that a move's outcome was read, and what it is.
func (s *tripStore) recordReadBack(r *moveRow, found moveOutcome, err error, began time.Time) {
	h := hopOf(tracing.ReadBack, r)
	switch {
	case err != nil:
		h.IsFailure = true
		h.Code, h.Reason = explainFailure(err)
	case !found.isKnown:
		h.Code, h.Reason = "not_made", "The move was not made: it is sent again, alone."
	case found.refusal != nil:
		h.Code, h.Reason = "refused", "The move cannot be made: "+found.refusal.Error()
	default:
		h.Code, h.Reason = "made", "The command had been carried out; only the answer was lost."
		if r.hops.isDoubtful {
			h.Key = commitKey(r) // no statement of this node is known to have committed it
		}
	}
	s.tracer.Record(string(r.id), h, began, s.tracer.Now())
}

// sleepBefore waits before the next try, as the function does, and records how
// long.
func (s *tripStore) sleepBefore(ctx context.Context, r *moveRow, try int) bool {
	if r.hops.since.IsZero() {
		return sleepBefore(ctx, try)
	}
	began := s.tracer.Now()
	ok := sleepBefore(ctx, try)
	if try > 0 {
		h := hopOf(tracing.CommitWait, r)
		h.Code, h.Reason = "backoff", fmt.Sprintf("A pause before try %d, because the ones before it led to nothing.", try+1)
		s.tracer.Record(string(r.id), h, began, s.tracer.Now())
	}
	return ok
}

// traceWrite returns a write that records each of its tries as a hop of a trip.
// hop is asked after the try; its key counts only if the try succeeded.
func (db *database) traceWrite(id trips.TripID, hop func() tracing.Hop, write func(context.Context) error) func(context.Context) error {
	if !db.tracer.Samples(string(id)) {
		return write
	}
	return func(ctx context.Context) error {
		began := db.tracer.Now()
		err := write(ctx)
		h := hop()
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			h.IsFailure, h.Key, h.Code, h.Reason = true, "", "not_found", "There is no such trip."
		case err != nil:
			h.IsFailure, h.Key = true, ""
			h.Code, h.Reason = explainFailure(err)
		}
		db.tracer.Record(string(id), h, began, db.tracer.Now())
		return err
	}
}
