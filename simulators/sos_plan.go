package simulators

import (
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// sosPlan is the call for help of one user, at most one per trip.
type sosPlan struct {
	rng            *rand.Rand
	clock          cityClock
	share          float64 // of trips with a call
	callAt         time.Time
	text           string
	pendingCommand string // id of a call that no operator has seen; "" for none
}

// planCall decides at the beginning of a trip whether and when to call. It
// draws the same numbers in both cases.
func (p *sosPlan) planCall(now time.Time) {
	draw, after := p.rng.Float64(), drawUniform(p.rng, 5, 120)
	text := []string{"", "I do not feel safe", "We had an accident", "This is not the way"}[p.rng.IntN(4)]
	p.cancelCall()
	if draw < p.share {
		p.callAt, p.text = now.Add(p.clock.realDuration(after)), text
	}
}

// cancelCall forgets a planned call, because the trip is over.
func (p *sosPlan) cancelCall() { p.callAt, p.text = time.Time{}, "" }

// sendDue sends the call when it is due.
func (p *sosPlan) sendDue(on *phone, trip string, now time.Time) {
	if isDue(p.callAt, now) {
		call := &wire.Sos{TripId: trip, Text: p.text}
		p.cancelCall()
		p.pendingCommand = on.sendCommand(client.NewFrame(call))
	}
}

// markSeen notes that an operator has seen the call with this id.
func (p *sosPlan) markSeen(id string) {
	if id == p.pendingCommand {
		p.pendingCommand = ""
	}
}

// handleAck forgets a refused call: no operator will see it.
func (p *sosPlan) handleAck(a *wire.Ack) {
	if a.Code != "" {
		p.markSeen(a.Id)
	}
}

// awaitsOperator reports whether no operator has seen the call yet.
func (p *sosPlan) awaitsOperator() bool { return p.pendingCommand != "" }
