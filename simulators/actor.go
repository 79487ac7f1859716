package simulators

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/wire"
)

// actor is the simulated user of a phone. All methods run on one goroutine.
type actor interface {
	// handleFrame takes a frame that the phone delivered.
	handleFrame(f *wire.ServerFrame, now time.Time)
	// doDueActions does what is due. It returns when to call it again at the
	// latest (zero: within maxIdle), and whether the actor has finished.
	doDueActions(ctx context.Context, now time.Time) (next time.Time, done bool)
}

// maxIdle bounds the time between two calls of doDueActions.
const maxIdle = time.Second

// runActor feeds an actor with the frames of its phone until the actor has
// finished or the context ends. It returns an error when the phone's session
// ended by itself. The caller must stop the phone.
func runActor(ctx context.Context, p *phone, a actor) error {
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
			a.handleFrame(f, time.Now())
		case <-timer.C:
		}

		now := time.Now()
		if isDue(dropAt, now) {
			p.dropConnection()
			dropAt = p.nextDropAt(now)
		}

		next, done := a.doDueActions(ctx, now)
		if done {
			return nil
		}

		next = earliestTime(next, dropAt, now.Add(maxIdle))
		timer.Reset(max(time.Millisecond, time.Until(next)))
	}
}

// nextDropAt returns when a flaky phone next loses its connection, or zero for
// other phones.
func (p *phone) nextDropAt(now time.Time) time.Time {
	if p.dropRandom == nil {
		return time.Time{}
	}
	return now.Add(time.Duration(p.dropRandom.ExpFloat64() * float64(p.network.dropEvery)))
}
