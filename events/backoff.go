package events

import (
	"math/rand/v2"
	"time"
)

// backoff is a wait that doubles from step to at most 20 steps, with full
// jitter, so that nodes do not come back in one wave.
type backoff struct {
	step     time.Duration
	failures int
}

func (b *backoff) reset() { b.failures = 0 }

func (b *backoff) next() time.Duration {
	top := min(b.step<<b.failures, 20*b.step)
	b.failures = min(b.failures+1, 5)
	return b.step/4 + rand.N(top)
}
