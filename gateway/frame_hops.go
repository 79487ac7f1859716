package gateway

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// frameHop is what will be recorded of a frame to a phone, once it is known
// what became of the frame. Only frames of sampled trips have one.
type frameHop struct {
	tracing.Hop
	trip  trips.TripID
	began time.Time
	// onWritten is told when the frame was written; nil: it is not needed.
	onWritten func(at time.Time)
}

// frameEnds says how each outcome of a frame is recorded. Frames that the phone
// has already are not.
var frameEnds = map[outcome]tracing.Hop{
	outcomeRecovered:   {Code: "recovered", Reason: "The phone had missed it; it was read from the database."},
	outcomeOverwritten: {Code: "overwritten", Reason: "A newer one came first, and the phone had not made room."},
	outcomeEarly:       {Code: "early", Reason: "An earlier one is missing; both are read from the database."},
	outcomeSlow:        {Code: "slow", Reason: "The phone reads too slowly: its queue was full. It must come back and resume.", IsFailure: true},
	outcomeGone:        {Code: "gone", Reason: "The connection ended before it was written.", IsFailure: true},
}

// phoneHops makes the hops to one phone. Its methods are safe for any goroutine.
type phoneHops struct {
	g    *Gateway
	user trips.Actor
}

func (s *session) hops() phoneHops { return phoneHops{s.g, s.user} }

// newFrameHop begins a hop from here to the phone. The caller has asked whether
// the trip is sampled.
func (p phoneHops) newFrameHop(kind *tracing.Kind, trip trips.TripID, phase tracing.Phase, nth int, cause string) *frameHop {
	h := kind.Hop(phase, nth)
	h.To, h.Cause, h.Source = tracing.PhoneOf(p.user.Role), cause, p.g.cfg.Tracer.CallerLine(1)
	return &frameHop{Hop: h, trip: trip, began: p.g.cfg.Now()}
}

// describe takes note of the frame as it travels. data is the encoded frame.
func (h *frameHop) describe(f *wire.ServerFrame, data []byte) {
	h.Bytes = len(data)
	if c := f.GetChat(); c != nil {
		c = proto.CloneOf(c)
		c.Text = withheld
		f = &wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: c}}
	}
	h.Frame = frameText(f)
}

// withheld stands for what a trace does not tell: texts of people, and tokens.
const withheld = "…"

// frameText returns a frame as JSON, for people; "" if it cannot be encoded.
func frameText(f proto.Message) string {
	text, err := wire.JSON.Append(nil, f)
	if err != nil {
		return ""
	}
	return string(text)
}

// recordFrame records what became of a frame. It does nothing for a nil hop,
// and for a frame that the phone has already.
func (g *Gateway) recordFrame(h *frameHop, what outcome) {
	if h == nil || what == outcomeDuplicate || what == outcomeEcho {
		return
	}
	if end, ok := frameEnds[what]; ok {
		h.Code, h.Reason, h.IsFailure = end.Code, end.Reason, end.IsFailure
	}

	now := g.cfg.Now()
	g.cfg.Tracer.Record(string(h.trip), h.Hop, h.began, now)
	if h.onWritten != nil && !h.IsFailure {
		h.onWritten(now)
	}
}

// causeOf returns the key of the hop that a message of an outbox comes from.
func (o origin) causeOf(message string) string {
	if o == published {
		return "publish:" + message
	}
	return "commit:" + message
}

// newEventHop returns what is to be recorded of a trip event; nil if the trip
// is not sampled.
func (p phoneHops) newEventHop(ev trips.Event, from origin) *frameHop {
	if !p.g.cfg.Tracer.Samples(string(ev.Trip.ID)) {
		return nil
	}
	return p.newFrameHop(tracing.EventWritten, ev.Trip.ID, tracing.PhaseOf(ev.Kind), 0, from.causeOf(tracing.EventID(ev.Seq())))
}

// newChatHop is newEventHop for a chat message.
func (p phoneHops) newChatHop(m chat.Message, from origin) *frameHop {
	if !p.g.cfg.Tracer.Samples(string(m.Trip)) {
		return nil
	}
	return p.newFrameHop(tracing.EventWritten, m.Trip, tracing.Chat, int(m.Seq), from.causeOf(tracing.ChatID(m.Seq)))
}

// newReceiptHop is newEventHop for a receipt, which is published or read from
// the store.
func (p phoneHops) newReceiptHop(c payments.Charge, how outcome) *frameHop {
	if !p.g.cfg.Tracer.Samples(string(c.Trip)) {
		return nil
	}
	from := published
	if how == outcomeRecovered {
		from = kept
	}
	return p.newFrameHop(tracing.EventWritten, c.Trip, tracing.Receipt, 0, from.causeOf(tracing.ReceiptID))
}

// maxClockOff bounds how far a phone's clock may be from the node's for the
// times of its frames to be used.
const maxClockOff = 10 * time.Second

// sentTime returns when the phone sent a frame that was read at a time by the
// node's clock, with a word about a phone's clock that is ahead. Without a
// plausible time of the phone it returns when the frame was read.
func sentTime(sentMs float64, read time.Time) (at time.Time, note string) {
	if sentMs == 0 || math.IsNaN(sentMs) || math.Abs(sentMs) > maxMillis {
		return read, ""
	}

	at = wire.FromMillis(sentMs)
	switch ahead := at.Sub(read); {
	case ahead > maxClockOff || ahead < -maxClockOff:
		return read, ""
	case ahead > 0:
		return read, fmt.Sprintf("The phone's clock is at least %v ahead of the node's.", ahead.Round(time.Microsecond))
	}
	return at, ""
}
