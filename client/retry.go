package client

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/wire"
)

const (
	maxRetryHint = 30 * time.Second // a node's longer request counts as this
	overloadHint = 2 * time.Second  // after a close with code 1013
)

// RetryPolicy decides how long a session waits before it connects again, and
// whether it connects at all. attempt is 0 after a lost connection and rises
// with each failed attempt since. The session calls it on Run's goroutine.
type RetryPolicy func(attempt int, err error) (wait time.Duration, again bool)

// DefaultRetry is the RetryPolicy of a session without its own. It returns
// false after ErrRefused and after a close code that forbids reconnecting.
// Otherwise the wait is Backoff's. It respects the wait that a node asks for,
// up to 30 s, unless another server has not been tried yet.
func (c *Client) DefaultRetry(attempt int, err error) (wait time.Duration, again bool) {
	code, hint := CloseCode(err), RetryAfter(err)
	if attempt+1 < len(c.cfg.Servers) {
		hint = 0 // The next node may have room.
	}
	again = !errors.Is(err, ErrRefused) && (code == 0 || wire.ShouldReconnect(code))
	return Backoff(attempt, code, min(hint, maxRetryHint)), again
}

// RetryAfter returns the shortest wait that the node asked for in its refusal
// or close code, or 0.
func RetryAfter(err error) time.Duration {
	if refused := new(StatusError); errors.As(err, &refused) {
		return refused.RetryAfter
	}
	if CloseCode(err) == wire.CloseOverload {
		return overloadHint
	}
	return 0
}

// Backoff returns a random wait before an attempt, counted from 0: at most 200
// ms, doubling to 5 s. The randomness (full jitter) spreads clients that lost
// the same node. After closeCode wire.CloseGoingAway, the first attempt comes
// within 55 ms, because another node is there or this one is soon back. With a
// hint, the wait is at least that long, and is spread up to twice as long.
func Backoff(attempt, closeCode int, hint time.Duration) time.Duration {
	limit := min(5*time.Second, 200*time.Millisecond<<min(attempt, 10))
	if closeCode == wire.CloseGoingAway && attempt == 0 {
		limit = 50 * time.Millisecond
	}
	return max(5*time.Millisecond+rand.N(limit), hint+rand.N(hint+1))
}
