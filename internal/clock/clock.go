// Package clock tells a node what time it is by its database, so that no two
// nodes differ by more than a few milliseconds, however wrong the clocks of
// their machines are. A machine's own clock is read once, when the process
// starts; from there on the time that passes is counted, so that a clock that
// is set meanwhile changes nothing.
package clock

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Source knows what time it is.
type Source interface {
	Now(ctx context.Context) (time.Time, error)
}

// Clock follows a Source. Its methods may be called from many goroutines.
type Clock struct {
	started time.Time     // by the machine
	skew    time.Duration // added to the machine's clock, to try a wrong one
	elapsed func() time.Duration

	mu     sync.RWMutex // guards below
	offset time.Duration
	// how far the offset may be off; below 0 before the first answer
	uncertainty time.Duration
	measuredAt  time.Duration // when that was measured
}

const (
	askInterval = 10 * time.Second
	// of a quartz that is far from good; what was measured is worth less by the
	// second
	driftRate = 2e-4
	// at the beginning, when the first answer may have waited for a connection
	syncTries = 3
)

// New is the machine's clock, and skew off it, until Sync.
func New(skew time.Duration) *Clock {
	started := time.Now()
	return &Clock{started: started, skew: skew, elapsed: func() time.Duration { return time.Since(started) }, uncertainty: -1}
}

// Now is the source's time as far as known. It may step back, by no more than
// the last answer was in doubt.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	offset := c.offset
	c.mu.RUnlock()
	return c.started.Add(c.elapsed() + c.skew + offset)
}

// Offset is how far the source is ahead of the machine's clock, skew included.
func (c *Clock) Offset() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.offset
}

// Sync asks for the time some times over and goes by the best answer. An error
// says that there was none.
func (c *Clock) Sync(ctx context.Context, from Source) error {
	var errs []error
	for range syncTries {
		if err := c.measureOffset(ctx, from); err != nil {
			errs = append(errs, err)
		}
	}

	if len(errs) == syncTries {
		return errs[0]
	}
	return nil
}

// Run keeps asking until ctx ends, and goes by the last answer while none
// comes. It returns ctx's error.
func (c *Clock) Run(ctx context.Context, from Source) error {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			_ = c.measureOffset(ctx, from) // whoever needs the source now says so
		}
	}
}

// measureOffset measures once. The answer was true at some moment between the question
// and its arrival: half the way there and back is the best guess, and no guess
// is further off than that half.
func (c *Clock) measureOffset(ctx context.Context, from Source) error {
	sent := c.elapsed()
	at, err := from.Now(ctx)
	if err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}

	got := c.elapsed()
	half := (got - sent) / 2
	c.updateOffset(at.Sub(c.started)-c.skew-sent-half, half, got)
	return nil
}

// updateOffset takes an answer that is better than what the last one is still worth,
// and one that contradicts it: then the source itself was set to another time,
// or is another one.
func (c *Clock) updateOffset(offset, doubt, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	worth := c.uncertainty + time.Duration(driftRate*float64(now-c.measuredAt))
	if c.uncertainty < 0 || doubt <= worth || (offset-c.offset).Abs() > doubt+worth {
		c.offset, c.uncertainty, c.measuredAt = offset, doubt, now
	}
}
