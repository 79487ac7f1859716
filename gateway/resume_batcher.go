package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// Phones that connect at about the same time share a read of the store. The
// first two of a second are read at once; those that come meanwhile wait and
// are read together. So the database runs 10 statements a second for phones
// that connect, however many these are.
const (
	resumesPerSec   = 10
	resumesBurst    = 2
	resumeBatchSize = 500 // in one statement
	resumeReads     = 4   // at the same time: one that hangs does not stop all
)

// resumeBatcher reads the resume states of phones that connect, many at once.
// All methods are safe for any goroutine.
type resumeBatcher struct {
	// Fixed at creation.
	read  func([]trips.ResumeQuery) ([]resumeState, error)
	spawn func(func()) bool // false: the node has stopped
	pace  *rate.Limiter
	slots chan struct{} // taken by reads under way

	mu      sync.Mutex       // guards below
	waiting []*resumeRequest // longest first
	working bool             // a goroutine begins reads
}

// resumeState is a phone's resume state, with the receipt of its trip if that
// was paid.
type resumeState struct {
	trips.ResumeState
	receipt payments.Charge
}

// resumeRequest is one phone's question.
type resumeRequest struct {
	ctx  context.Context
	of   trips.ResumeQuery
	got  resumeState
	err  error
	done chan struct{} // closed when got or err is set
}

// newResumeBatcher takes a read that has a timeout of its own.
func newResumeBatcher(read func([]trips.ResumeQuery) ([]resumeState, error), spawn func(func()) bool) *resumeBatcher {
	return &resumeBatcher{read: read, spawn: spawn, pace: rate.NewLimiter(resumesPerSec, resumesBurst),
		slots: make(chan struct{}, resumeReads)}
}

// askState returns a phone's resume state. It blocks until the store has
// answered or ctx has ended.
func (b *resumeBatcher) askState(ctx context.Context, of trips.ResumeQuery) (resumeState, error) {
	r := &resumeRequest{ctx: ctx, of: of, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, r)
	idle := !b.working
	b.working = true
	b.mu.Unlock()

	if idle && !b.spawn(b.beginReads) {
		// The node has stopped. Later requests end with their context.
		return resumeState{}, errDraining
	}

	select {
	case <-r.done:
		return r.got, r.err
	case <-ctx.Done():
		return resumeState{}, ctx.Err()
	}
}

// beginReads begins reads until no request waits.
func (b *resumeBatcher) beginReads() {
	for b.continueReads() {
		b.slots <- struct{}{}
		time.Sleep(b.pace.Reserve().Delay())
		batch := b.nextBatch()
		if !b.spawn(func() { b.answerBatch(batch) }) {
			failAll(batch, errDraining)
			<-b.slots
		}
	}
}

// continueReads returns true if a request waits. If none does, the next one
// starts work again.
func (b *resumeBatcher) continueReads() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.working = len(b.waiting) > 0
	return b.working
}

// nextBatch removes the requests that have waited longest and still do.
func (b *resumeBatcher) nextBatch() (batch []*resumeRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(b.waiting, func(r *resumeRequest) bool { return r.ctx.Err() != nil })
	n := min(len(b.waiting), resumeBatchSize)
	batch, b.waiting = b.waiting[:n:n], b.waiting[n:]
	return batch
}

func (b *resumeBatcher) answerBatch(batch []*resumeRequest) {
	defer func() { <-b.slots }()
	if len(batch) == 0 {
		return // they gave up
	}

	of := make([]trips.ResumeQuery, len(batch))
	for i, r := range batch {
		of[i] = r.of
	}

	got, err := b.read(of)
	if err == nil && len(got) != len(of) {
		err = fmt.Errorf("%d answers to %d questions", len(got), len(of))
	}
	if err != nil {
		failAll(batch, err)
		return
	}

	for i, r := range batch {
		r.got = got[i]
		close(r.done)
	}
}

func failAll(batch []*resumeRequest, err error) {
	for _, r := range batch {
		r.err = err
		close(r.done)
	}
}

// readResumeStates is the batcher's read of the store.
func (g *Gateway) readResumeStates(of []trips.ResumeQuery) ([]resumeState, error) {
	ctx, cancel := context.WithTimeout(g.base, g.cfg.Limits.CommandWithin)
	defer cancel()

	began := g.cfg.Tracer.Now()
	all, receipts, err := g.cfg.Store.ResumeStates(ctx, of)
	g.recordStateRead(of, all, err, began)
	out := make([]resumeState, len(all))
	for i, st := range all {
		out[i] = resumeState{st, receipts[st.Trip.ID]}
	}
	return out, err
}
