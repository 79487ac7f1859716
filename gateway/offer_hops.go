package gateway

import (
	"sync"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// codeGone is the code of an offer whose driver has left.
const codeGone = "gone"

// thoughtEnds explains the codes of offers that have ended.
var thoughtEnds = map[string]string{
	"accepted":             "The driver accepted.",
	"declined":             "The driver declined.",
	codeGone:               "The driver's phone was disconnected.",
	dispatch.GoneExpired:   "The driver did not answer in time.",
	dispatch.GoneTaken:     "Another driver has the trip.",
	dispatch.GoneCancelled: "The trip ended meanwhile.",
	dispatch.GoneWithdrawn: "The search was stopped, or another node went on with it.",
}

// offerThoughts keeps since when drivers think about offers of sampled trips.
// All methods are safe for any goroutine.
type offerThoughts struct {
	mu   sync.Mutex // guards below
	open map[string]thought
}

type thought struct {
	trip    trips.TripID
	nth     int
	began   time.Time // when the offer was on the phone
	expires time.Time
}

// newOfferHop returns what is to be recorded of an offer; nil if its trip is not
// sampled. The driver thinks from when it is written.
func (p phoneHops) newOfferHop(o dispatch.Offer) *frameHop {
	if !p.g.cfg.Tracer.Samples(string(o.Trip.ID)) {
		return nil
	}
	h := p.newFrameHop(tracing.OfferWritten, o.Trip.ID, tracing.Offer, o.Nth, "offer:"+o.ID)
	// The answer may be read before onWritten is called.
	p.g.beginThought(o, h.began)
	h.onWritten = func(at time.Time) { p.g.thoughts.moveBegin(o.ID, h.began, at) }
	return h
}

// beginThought says that an offer is on its way to the driver's phone. An offer
// that is written a second time is in the driver's mind already.
func (g *Gateway) beginThought(o dispatch.Offer, at time.Time) {
	for id, t := range g.thoughts.begin(o, at) {
		g.recordThought(id, t, dispatch.GoneExpired, t.expires)
	}
}

// begin adds an offer, and removes and returns those that expired without a
// word from their dispatcher.
func (h *offerThoughts) begin(o dispatch.Offer, at time.Time) (expired map[string]thought) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for id, t := range h.open {
		if at.Sub(t.expires) > time.Second {
			if expired == nil {
				expired = map[string]thought{}
			}
			expired[id] = t
			delete(h.open, id)
		}
	}

	if _, known := h.open[o.ID]; !known {
		h.open[o.ID] = thought{o.Trip.ID, o.Nth, at, o.ExpiresAt}
	}
	return expired
}

// moveBegin says when an offer was written.
func (h *offerThoughts) moveBegin(id string, from, to time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t, ok := h.open[id]; ok && t.began.Equal(from) {
		t.began = to
		h.open[id] = t
	}
}

// end removes an offer; false if it is not here.
func (h *offerThoughts) end(id string) (t thought, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok = h.open[id]
	delete(h.open, id)
	return t, ok
}

// recordOfferAnswer records how long the driver thought about an offer, when its
// answer comes.
func (g *Gateway) recordOfferAnswer(id string, accepted bool, c command) {
	how := "declined"
	if accepted {
		how = "accepted"
	}
	at, _ := sentTime(c.times.sentMs, c.times.readAt)
	g.endThought(id, how, at)
}

// endThought records how long an offer was in its driver's mind, and why it is
// no more. It does nothing for an offer that ended before, or is not sampled.
func (g *Gateway) endThought(id, code string, at time.Time) {
	if g.cfg.Tracer == nil {
		return
	}
	if t, ok := g.thoughts.end(id); ok {
		g.recordThought(id, t, code, at)
	}
}

func (g *Gateway) recordThought(id string, t thought, code string, at time.Time) {
	h := tracing.OfferThought.Hop(tracing.Offer, t.nth)
	h.Cause, h.Code, h.Reason = "offer:"+id, code, thoughtEnds[code]
	g.cfg.Tracer.Record(string(t.trip), h, t.began, at)
}
