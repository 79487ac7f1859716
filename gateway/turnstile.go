package gateway

import (
	"time"

	"golang.org/x/time/rate"
)

// turnstile lets phones in at a rate. Those who come faster are told when to come back, each a moment after the one
// before, so that a crowd that came at once comes back as a queue.
type turnstile struct {
	now   *rate.Limiter // who comes in
	later *rate.Limiter // who comes back when; slower, so that they find the way free
}

const (
	queueShare  = 0.8              // of the rate is promised to those who come back
	longestWait = 30 * time.Second // no phone is sent away for longer; a queue that long is given up
)

func newTurnstile(perSec float64, burst int) *turnstile {
	return &turnstile{now: rate.NewLimiter(rate.Limit(perSec), burst), later: rate.NewLimiter(rate.Limit(perSec*queueShare), 1)}
}

// admit returns 0 for who may come in, else when to come back: a whole number of seconds, to which phones add up to
// another second by chance.
func (t *turnstile) admit(at time.Time) time.Duration {
	if t.now.AllowN(at, 1) {
		return 0
	}
	slot := t.later.ReserveN(at, 1)
	wait := slot.DelayFrom(at)
	if wait > longestWait {
		slot.CancelAt(at)
		wait = longestWait
	}
	return max(time.Second, (wait + time.Second - 1).Truncate(time.Second))
}
