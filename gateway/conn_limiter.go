package gateway

import (
	"time"

	"golang.org/x/time/rate"
)

// connLimiter lets phones connect at a rate. A phone that is too fast is given
// a time to come back, each a little after the one before, so that a crowd
// comes back as a queue. It is safe for any goroutine.
type connLimiter struct {
	now *rate.Limiter // of phones that connect
	// later spreads the times at which phones that were sent away come back. It
	// is slower than now, so that they are let in then.
	later *rate.Limiter
}

const (
	// queueShare is the part of the rate that is promised to phones that come
	// back.
	queueShare = 0.8
	// longestWait bounds how long a phone is sent away. It may be sent away
	// again.
	longestWait = 30 * time.Second
)

func newConnLimiter(perSec float64, burst int) *connLimiter {
	return &connLimiter{now: rate.NewLimiter(rate.Limit(perSec), burst), later: rate.NewLimiter(rate.Limit(perSec*queueShare), 1)}
}

// admitPhone returns 0 if a phone may connect, else how long it must wait:
// whole seconds. Phones add up to another second by chance.
func (l *connLimiter) admitPhone(at time.Time) time.Duration {
	if l.now.AllowN(at, 1) {
		return 0
	}
	slot := l.later.ReserveN(at, 1)
	wait := slot.DelayFrom(at)
	if wait > longestWait {
		slot.CancelAt(at)
		wait = longestWait
	}

	return max(time.Second, (wait + time.Second - 1).Truncate(time.Second))
}
