package client

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/wire"
)

const (
	// that a node's request to be left alone is honoured for
	maxRetryHint = 30 * time.Second
	overloadHint = 2 * time.Second // after a close with 1013
)

// RetryPolicy decides after a lost connection, attempt 0, and after each failed
// try since, how long to wait and whether to come back at all.
type RetryPolicy func(attempt int, err error) (wait time.Duration, again bool)

// DefaultRetry is the policy of sessions that have none of their own. It stays away
// when the node refuses or closed with a code that says so. Otherwise it comes
// back by Backoff, and not before the time for which the node asks, unless
// another server has not been tried yet.
func (c *Client) DefaultRetry(attempt int, err error) (wait time.Duration, again bool) {
	code, hint := CloseCode(err), RetryAfter(err)
	if attempt+1 < len(c.cfg.Servers) {
		hint = 0 // it is one node's request, and the next one may have room
	}
	again = !errors.Is(err, ErrRefused) && (code == 0 || wire.ShouldReconnect(code))
	return Backoff(attempt, code, min(hint, maxRetryHint)), again
}

// RetryAfter returns the least time that a node asks to be left alone for,
// or 0.
func RetryAfter(err error) time.Duration {
	if refused := new(StatusError); errors.As(err, &refused) {
		return refused.RetryAfter
	}
	if CloseCode(err) == wire.CloseOverload {
		return overloadHint
	}
	return 0
}

// Backoff returns how long to wait before a try: up to 200 ms, doubling to 5 s,
// with full jitter so that a crowd spreads out. A node that is going away has
// another one beside it or is soon back, so the first try comes within 50 ms.
// With a hint, the wait is between one and two times as long as that at least.
func Backoff(attempt, code int, hint time.Duration) time.Duration {
	limit := min(5*time.Second, 200*time.Millisecond<<min(attempt, 10))
	if code == wire.CloseGoingAway && attempt == 0 {
		limit = 50 * time.Millisecond
	}
	return max(5*time.Millisecond+rand.N(limit), hint+rand.N(hint+1))
}
