package node

import (
	"context"
	"time"
)

// runEvery calls a function each time that so much time has passed, until ctx
// ends. It returns ctx's error.
func runEvery(ctx context.Context, interval time.Duration, call func(context.Context)) error {
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
