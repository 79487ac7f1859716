package simulators

import (
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// chatPlan is the next message of one user to the other user of a trip.
type chatPlan struct {
	rng      *rand.Rand
	clock    cityClock
	line     string // "" for none
	typingAt time.Time
	sayAt    time.Time
}

// planLine plans one of the lines with a probability, unless another one is
// planned.
func (t *chatPlan) planLine(now time.Time, chance float64, lines ...string) {
	if t.rng.Float64() >= chance || t.line != "" {
		return
	}
	t.line = lines[t.rng.IntN(len(lines))]
	t.typingAt = now.Add(t.clock.realDuration(drawUniform(t.rng, 0.5, 2)))
	t.sayAt = t.typingAt.Add(t.clock.realDuration(drawUniform(t.rng, 1, 3)))
}

// cancelLine forgets the planned line.
func (t *chatPlan) cancelLine() { t.line, t.typingAt, t.sayAt = "", time.Time{}, time.Time{} }

// nextDueAt returns when sendDue has something to send, or zero.
func (t *chatPlan) nextDueAt() time.Time { return earliestTime(t.typingAt, t.sayAt) }

// sendDue sends the typing sign and the line when they are due.
func (t *chatPlan) sendDue(p *phone, trip string, now time.Time) {
	if isDue(t.typingAt, now) {
		t.typingAt = time.Time{}
		p.sendFrame(client.NewFrame(&wire.Typing{TripId: trip}))
	}

	if isDue(t.sayAt, now) {
		line := t.line
		t.cancelLine()
		say := &wire.SendChat{TripId: trip, Text: line}
		p.sendCommand(client.NewFrame(say))
	}
}
