package routing

import (
	"sync"
	"time"
)

// circuitBreaker stops calls to a service for a pause after `limit` failures in
// a row. After the pause one call goes through; the others wait for its result
// for one more pause. It is safe for concurrent use.
type circuitBreaker struct {
	limit int
	pause time.Duration
	now   func() time.Time

	mu       sync.Mutex
	failures int
	until    time.Time
}

func (b *circuitBreaker) allowCall() bool {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.failures < b.limit {
		return true
	}

	now := b.now()
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(b.pause)
	return true
}

func (b *circuitBreaker) noteSuccess() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}

func (b *circuitBreaker) noteFailure() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.failures >= b.limit {
		b.until = b.now().Add(b.pause)
	}
}

// retryBudget limits retries to a tenth of the calls that succeed, so that they
// add little load to a service in trouble. It is safe for concurrent use.
type retryBudget struct {
	mu     sync.Mutex
	tokens int // tenths of a retry
}

const (
	maxTokens  = 100
	retryPrice = 10
)

func (b *retryBudget) takeRetry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < retryPrice {
		return false
	}
	b.tokens -= retryPrice
	return true
}

func (b *retryBudget) earnRetry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(maxTokens, b.tokens+1)
}
