package simulators

import (
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// talk is what one person is about to say to the other of a trip.
type talk struct {
	rng      *rand.Rand
	clock    clock
	line     string // nothing when empty
	typingAt time.Time
	sayAt    time.Time
}

// plan makes the person say one of the lines with a probability, unless
// something else is about to be said.
func (t *talk) plan(now time.Time, chance float64, lines ...string) {
	if t.rng.Float64() >= chance || t.line != "" {
		return
	}
	t.line = lines[t.rng.IntN(len(lines))]
	t.typingAt = now.Add(t.clock.wall(uniform(t.rng, 0.5, 2)))
	t.sayAt = t.typingAt.Add(t.clock.wall(uniform(t.rng, 1, 3)))
}

// hush forgets what was about to be said.
func (t *talk) hush() { t.line, t.typingAt, t.sayAt = "", time.Time{}, time.Time{} }

func (t *talk) due() time.Time { return earliest(t.typingAt, t.sayAt) }

// act types and says what is due.
func (t *talk) act(p *phone, trip string, now time.Time) {
	if due(t.typingAt, now) {
		t.typingAt = time.Time{}
		p.send(client.Frame(&wire.Typing{TripId: trip}))
	}

	if due(t.sayAt, now) {
		line := t.line
		t.hush()
		say := &wire.SendChat{TripId: trip, Text: line}
		p.command(client.Frame(say))
	}
}
