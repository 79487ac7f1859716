package simulators

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/wire"
)

// person is who holds a phone. All methods run on one goroutine.
type person interface {
	// hear takes a frame that is for this person.
	hear(f *wire.ServerFrame, now time.Time)
	// act does what is due, and returns when to act again at the latest (zero:
	// whenever) and whether the person is done.
	act(ctx context.Context, now time.Time) (next time.Time, done bool)
}

// lookEvery is how often a person with nothing to do looks at the phone.
const lookEvery = time.Second

// attend lets a person live with a phone until the person is done, the context
// ends, or the phone is off for good; then the error says why. It leaves the
// phone for the caller to stop.
func attend(ctx context.Context, p *phone, who person) error {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()

	dropAt := p.nextDrop(time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case f, on := <-p.frames:
			if !on {
				return p.err
			}
			who.hear(f, time.Now())
		case <-timer.C:
		}

		now := time.Now()
		if due(dropAt, now) {
			p.drop()
			dropAt = p.nextDrop(now)
		}

		next, done := who.act(ctx, now)
		if done {
			return nil
		}

		next = earliest(next, dropAt, now.Add(lookEvery))
		timer.Reset(max(time.Millisecond, time.Until(next)))
	}
}

// nextDrop is when a flaky phone loses its connection; zero for the others.
func (p *phone) nextDrop(now time.Time) time.Time {
	if p.drops == nil {
		return time.Time{}
	}
	return now.Add(time.Duration(p.drops.ExpFloat64() * float64(p.net.dropEvery)))
}
