package payments

import (
	"sync"
	"time"
)

const (
	fullBudget = 5 // attempts
	// of an attempt more, for each trip that is asked about for the first time
	share = 1.0 / 20
	// a provider that nobody asked for so long may be asked once
	aloneAfter = 4 * time.Second
)

// Budget bounds what a node asks again of a provider that fails. An attempt is
// two requests at most, a question and a charge. One attempt more is allowed
// for twenty trips that are asked about for the first time, and five
// beforehand, so that while nothing is answered there are 1.1 requests for each
// first one, or five attempts, or one in four seconds, whichever is most. An
// attempt that is answered costs nothing, and allows another one. The zero
// value is full and is for many goroutines.
type Budget struct {
	mu    sync.Mutex
	spent float64 // attempts
	paid  float64 // of the five that were there beforehand
	// when somebody last began to ask
	asked   time.Time
	failing bool // the last that ended was without an answer
	refused bool // somebody must be asked for again when the provider answers
}

// first notes that a trip is asked about for the first time, which is always
// allowed.
func (b *Budget) first(now time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	b.asked = now
	if b.paid < fullBudget {
		b.paid += share
		return
	}
	b.spent = max(0, b.spent-share)
}

// again says whether a trip may be asked about again. If not, it is worth
// waiting when the provider answers others.
func (b *Budget) again(now time.Time) (allowed, wait bool) {
	if b == nil {
		return true, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	switch {
	case b.spent+1 <= fullBudget:
		b.spent++
	case now.Sub(b.asked).Abs() < aloneAfter:
		b.refused = b.refused || b.failing
		return false, !b.failing
	}

	b.asked = now
	return true, false
}

// ended notes whether an attempt was answered. Whoever waits may then ask, one
// after the other at least.
func (b *Budget) ended(answered bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = !answered
	if answered {
		b.spent = max(0, b.spent-1-share)
	}
}

// waits says that trips were refused, and that the provider still fails.
func (b *Budget) waits() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused && b.failing
}

// healed says, once, that trips were refused and the provider answers again.
func (b *Budget) healed() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	healed := b.refused && !b.failing
	b.refused = b.refused && !healed
	return healed
}
