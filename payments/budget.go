package payments

import (
	"cmp"
	"sync"
	"time"
)

const (
	// freeAttempts is the size of the budget before any first attempt has added
	// to it.
	freeAttempts = 5
	// attemptsPerFirst is the default of Budget.Share.
	attemptsPerFirst = 1.0 / 20
	// probeInterval is how long a provider may go unasked; then one attempt is
	// allowed without budget.
	probeInterval = 4 * time.Second
)

// Budget bounds how often a node repeats requests to a failing provider (a
// retry budget). An attempt is at most two requests: a verification and a
// charge. Retries are allowed up to five, plus one for every twenty trips that
// are tried for the first time, unless Share says otherwise. While the provider
// answers nothing, it so receives at most 1.1 requests per first request, or
// five attempts, or one attempt in four seconds, whichever is most. An attempt
// that the provider answers is given back.
//
// The caller reports each first attempt (RecordFirst), asks before each retry
// (AllowRetry) and reports how each attempt ended (RecordResult).
//
// The zero value is full. A nil Budget allows everything. All methods may be
// called from many goroutines.
type Budget struct {
	// Share is what each first attempt adds to the budget, in attempts; 1/20
	// when zero. It is set before the budget is used.
	Share float64

	mu     sync.Mutex
	spent  float64 // attempts
	earned float64 // how many of freeAttempts first attempts have paid for
	// lastAsked is when an attempt last began.
	lastAsked  time.Time
	failing    bool // the last attempt that ended had no answer
	hasRefused bool // trips wait to be queued again when the provider answers
}

func (b *Budget) share() float64 { return cmp.Or(b.Share, attemptsPerFirst) }

// RecordFirst notes a first attempt, which is always allowed.
func (b *Budget) RecordFirst(now time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	b.lastAsked = now
	if b.earned < freeAttempts {
		b.earned += b.share()
		return
	}
	b.spent = max(0, b.spent-b.share())
}

// AllowRetry reports whether a retry may begin now. If not, wait says that the
// provider answers others, so that waiting for the budget is worthwhile.
func (b *Budget) AllowRetry(now time.Time) (allowed, wait bool) {
	if b == nil {
		return true, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	switch {
	case b.spent+1 <= freeAttempts:
		b.spent++
	case now.Sub(b.lastAsked).Abs() < probeInterval:
		b.hasRefused = b.hasRefused || b.failing
		return false, !b.failing
	}

	b.lastAsked = now
	return true, false
}

// RecordResult notes whether an attempt was answered. An answer lets goroutines
// that wait for the budget go on, one after the other at least.
func (b *Budget) RecordResult(answered bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	b.failing = !answered
	if answered {
		b.spent = max(0, b.spent-1-b.share())
	}
}

// isHoldingBack reports whether trips were refused and the provider still
// fails.
func (b *Budget) isHoldingBack() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.hasRefused && b.failing
}

// takeRecovery returns true once after trips were refused and the provider
// answers again.
func (b *Budget) takeRecovery() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	healed := b.hasRefused && !b.failing
	b.hasRefused = b.hasRefused && !healed
	return healed
}
