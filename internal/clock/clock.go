// Package clock gives a node the time by its database, so that no two nodes
// differ by more than a few milliseconds, even if the clocks of their machines
// are wrong. The machine's clock is read once, when the process starts. From
// then on the elapsed time is counted, so that setting the machine's clock
// changes nothing.
package clock

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Source returns the current time; the store implements it. Now may block on
// I/O.
type Source interface {
	Now(ctx context.Context) (time.Time, error)
}

// Clock follows a Source. Its methods may be called from many goroutines.
type Clock struct {
	// Fixed at creation.
	started time.Time     // by the machine's clock
	skew    time.Duration // added to the machine's clock, to test a wrong one
	elapsed func() time.Duration

	mu     sync.RWMutex // guards the fields below
	offset time.Duration
	// uncertainty is how far the offset may be wrong; below 0 before the first
	// answer.
	uncertainty time.Duration
	measuredAt  time.Duration // elapsed time of the last measurement
}

const (
	askInterval = 10 * time.Second
	// driftRate is that of a bad quartz. A measurement loses worth by it every
	// second.
	driftRate = 2e-4
	// syncTries is more than one because the first answer may have waited for a
	// connection.
	syncTries = 3
)

// New returns the machine's clock, off by skew, until Sync is called.
func New(skew time.Duration) *Clock {
	started := time.Now()
	return &Clock{started: started, skew: skew, elapsed: func() time.Duration { return time.Since(started) }, uncertainty: -1}
}

// Now returns the source's time as far as known. It may step back, by no more
// than the uncertainty of the last measurement.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	offset := c.offset
	c.mu.RUnlock()
	return c.started.Add(c.elapsed() + c.skew + offset)
}

// Offset returns how far the source is ahead of the machine's clock, skew
// included.
func (c *Clock) Offset() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.offset
}

// Uncertainty returns how far Now may be from the source's time, and false
// before the first measurement.
func (c *Clock) Uncertainty() (time.Duration, bool) {
	now := c.elapsed()
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.worthLocked(now), c.uncertainty >= 0
}

// worthLocked is how far the offset may be wrong by now.
func (c *Clock) worthLocked(now time.Duration) time.Duration {
	return c.uncertainty + time.Duration(driftRate*float64(now-c.measuredAt))
}

// Sync measures the offset several times and keeps the best. It returns an
// error if no measurement succeeded.
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

// Run measures the offset every askInterval until ctx ends. While measurements
// fail the last one holds. It returns ctx's error.
func (c *Clock) Run(ctx context.Context, from Source) error {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			// Callers of the source report its errors.
			_ = c.measureOffset(ctx, from)
		}
	}
}

// measureOffset asks the source once. The answer was true at some moment
// between the question and its arrival. The middle is the best estimate, and
// its error is at most half the round trip (Cristian's algorithm).
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

// updateOffset takes a measurement that is better than what the last one is
// still worth after drift. It also takes one that contradicts the last: then
// the source itself was set to another time, or is another one.
func (c *Clock) updateOffset(offset, doubt, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	worth := c.worthLocked(now)
	if c.uncertainty < 0 || doubt <= worth || (offset-c.offset).Abs() > doubt+worth {
		c.offset, c.uncertainty, c.measuredAt = offset, doubt, now
	}
}
