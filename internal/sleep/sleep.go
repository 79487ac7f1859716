// Package sleep waits for a while, or until a context ends.
package sleep

import (
	"context"
	"time"
)

// For waits for d and returns true. It returns false as soon as ctx has ended,
// also when both happen at once. It does not wait when d is 0 or less.
func For(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}

	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// Until is For with a moment in place of a duration.
func Until(ctx context.Context, at time.Time) bool { return For(ctx, time.Until(at)) }

// Every calls a function each time that an interval has passed, until ctx ends.
// It returns ctx's error.
func Every(ctx context.Context, interval time.Duration, call func(context.Context)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			call(ctx)
		}
	}
}
