package simulators

import (
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// sosPlan is one person's call for help, one on a trip at most.
type sosPlan struct {
	rng            *rand.Rand
	clock          cityClock
	share          float64 // of trips on which this person calls
	callAt         time.Time
	text           string
	pendingCommand string // id of the command, until an operator has seen it
}

// planCall decides for a trip that begins now, whether and when to call.
func (p *sosPlan) planCall(now time.Time) {
	draw, after := p.rng.Float64(), drawUniform(p.rng, 5, 120)
	text := []string{"", "I do not feel safe", "We had an accident", "This is not the way"}[p.rng.IntN(4)]
	p.cancelCall()
	if draw < p.share {
		p.callAt, p.text = now.Add(p.clock.realDuration(after)), text
	}
}

// cancelCall forgets a call that was not made yet, because the trip is over.
func (p *sosPlan) cancelCall() { p.callAt, p.text = time.Time{}, "" }

// sendDue calls when it is time.
func (p *sosPlan) sendDue(on *phone, trip string, now time.Time) {
	if isDue(p.callAt, now) {
		call := &wire.Sos{TripId: trip, Text: p.text}
		p.cancelCall()
		p.pendingCommand = on.sendCommand(client.NewFrame(call))
	}
}

// markSeen takes the word that an operator has seen a call.
func (p *sosPlan) markSeen(id string) {
	if id == p.pendingCommand {
		p.pendingCommand = ""
	}
}

// handleAck takes an answer to a command: nobody will see a call that was
// refused.
func (p *sosPlan) handleAck(a *wire.Ack) {
	if a.Code != "" {
		p.markSeen(a.Id)
	}
}

// awaitsOperator says whether an operator should still tell something.
func (p *sosPlan) awaitsOperator() bool { return p.pendingCommand != "" }
