package simulators

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/wire"
)

// actor is who holds a phone. All methods run on one goroutine.
type actor interface {
	// handleFrame takes a frame that is for this person.
	handleFrame(f *wire.ServerFrame, now time.Time)
	// doDueActions does what is due, and returns when to act again at the latest (zero:
	// whenever) and whether the person is done.
	doDueActions(ctx context.Context, now time.Time) (next time.Time, done bool)
}

// maxIdle is how often a person with nothing to do looks at the phone.
const maxIdle = time.Second

// runActor lets a person live with a phone until the person is done, the context
// ends, or the phone is off for good; then the error says why. It leaves the
// phone for the caller to stop.
func runActor(ctx context.Context, p *phone, who actor) error {
	timer := time.NewTimer(maxIdle)
	defer timer.Stop()

	dropAt := p.nextDropAt(time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case f, on := <-p.frames:
			if !on {
				return p.err
			}
			who.handleFrame(f, time.Now())
		case <-timer.C:
		}

		now := time.Now()
		if isDue(dropAt, now) {
			p.dropConnection()
			dropAt = p.nextDropAt(now)
		}

		next, done := who.doDueActions(ctx, now)
		if done {
			return nil
		}

		next = earliestTime(next, dropAt, now.Add(maxIdle))
		timer.Reset(max(time.Millisecond, time.Until(next)))
	}
}

// nextDropAt is when a flaky phone loses its connection; zero for the others.
func (p *phone) nextDropAt(now time.Time) time.Time {
	if p.dropRandom == nil {
		return time.Time{}
	}
	return now.Add(time.Duration(p.dropRandom.ExpFloat64() * float64(p.network.dropEvery)))
}
