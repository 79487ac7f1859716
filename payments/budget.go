package payments

import (
	"sync"
	"time"
)

const (
	freeAttempts = 5 // attempts
	// of an attempt more, for each trip that is asked about for the first time
	attemptsPerTrip = 1.0 / 20
	// a provider that nobody asked for so long may be asked once
	probeInterval = 4 * time.Second
)

// Budget bounds what a node asks again of a provider that fails. An attempt is
// two requests at most, a question and a charge. One attempt more is allowed
// for twenty trips that are asked about for the first time, and five
// beforehand, so that while nothing is answered there are 1.1 requests for each
// first one, or five attempts, or one in four seconds, whichever is most. An
// attempt that is answered costs nothing, and allows another one. The zero
// value is full and is for many goroutines.
type Budget struct {
	mu     sync.Mutex
	spent  float64 // attempts
	earned float64 // of the five that were there beforehand
	// when somebody last began to ask
	lastAsked  time.Time
	failing    bool // the last that ended was without an answer
	hasRefused bool // somebody must be asked for again when the provider answers
}

// recordFirst notes that a trip is asked about for the first time, which is always
// allowed.
func (b *Budget) recordFirst(now time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	b.lastAsked = now
	if b.earned < freeAttempts {
		b.earned += attemptsPerTrip
		return
	}
	b.spent = max(0, b.spent-attemptsPerTrip)
}

// allowRetry says whether a trip may be asked about again. If not, it is worth
// waiting when the provider answers others.
func (b *Budget) allowRetry(now time.Time) (allowed, wait bool) {
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

// recordResult notes whether an attempt was answered. Whoever waits may then ask, one
// after the other at least.
func (b *Budget) recordResult(answered bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = !answered
	if answered {
		b.spent = max(0, b.spent-1-attemptsPerTrip)
	}
}

// isHoldingBack says that trips were refused, and that the provider still fails.
func (b *Budget) isHoldingBack() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hasRefused && b.failing
}

// takeRecovery says, once, that trips were refused and the provider answers again.
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
