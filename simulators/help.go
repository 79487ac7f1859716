package simulators

import (
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// help is one person's call for help, one on a trip at most.
type help struct {
	rng    *rand.Rand
	clock  clock
	share  float64 // of trips on which this person calls
	callAt time.Time
	text   string
	asked  string // id of the command, until an operator has seen it
}

// plan decides for a trip that begins now, whether and when to call.
func (h *help) plan(now time.Time) {
	draw, after := h.rng.Float64(), uniform(h.rng, 5, 120)
	text := []string{"", "I do not feel safe", "We had an accident", "This is not the way"}[h.rng.IntN(4)]
	h.hush()
	if draw < h.share {
		h.callAt, h.text = now.Add(h.clock.wall(after)), text
	}
}

// hush forgets a call that was not made yet, because the trip is over.
func (h *help) hush() { h.callAt, h.text = time.Time{}, "" }

// act calls when it is time.
func (h *help) act(p *phone, trip string, now time.Time) {
	if due(h.callAt, now) {
		call := &wire.Sos{TripId: trip, Text: h.text}
		h.hush()
		h.asked = p.command(client.Frame(call))
	}
}

// seen takes the word that an operator has seen a call.
func (h *help) seen(id string) {
	if id == h.asked {
		h.asked = ""
	}
}

// answered takes an answer to a command: nobody will see a call that was
// refused.
func (h *help) answered(a *wire.Ack) {
	if a.Code != "" {
		h.seen(a.Id)
	}
}

// waits says whether an operator should still tell something.
func (h *help) waits() bool { return h.asked != "" }
