package gateway

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// commandTimes is when a command came. Whether its trip is sampled is known
// only once it is carried out.
type commandTimes struct {
	sentMs   float64   // by the phone's clock; 0: it does not say
	readAt   time.Time // the frame was complete
	queuedAt time.Time // zero without a tracer, like begunAt
	begunAt  time.Time
}

// repeatMargin is more than one clock of a node is set back at a time.
const repeatMargin = time.Millisecond

// recordCommand records how a command came here and waited, and returns what is
// to be recorded of its ack; nil if its trip is not sampled or not known.
func (s *session) recordCommand(c command, a *answer) *frameHop {
	if s.g.cfg.Tracer == nil {
		return nil
	}
	trip := s.tripOfCommand(c, a)
	if !s.g.cfg.Tracer.Samples(string(trip)) {
		return nil
	}

	phase, nth := phaseOfCommand(c, a)
	key, repeat := "command:"+c.id, ""
	isRepeat := !a.at.IsZero() && a.at.Before(c.times.begunAt.Add(-repeatMargin))
	if isRepeat {
		repeat = "The phone sent this command again: it was carried out before, and has no second effect."
	}

	read := tracing.FrameRead.Hop(phase, nth)
	read.From, read.Key = tracing.PhoneOf(s.user.Role), key
	read.Frame, read.Bytes = s.describeCommand(c)
	began, note := sentTime(c.times.sentMs, c.times.readAt)
	read.Reason = note
	if isRepeat {
		read.Code, read.Reason = "repeated", repeat
	}
	if isRepeat || willRepeat(a) {
		read.Key = "" // of the frame that had an effect, or will have
	}
	s.g.cfg.Tracer.Record(string(trip), read, began, c.times.queuedAt)

	wait := tracing.CommandWait.Hop(phase, nth)
	wait.Cause = key
	s.g.cfg.Tracer.Record(string(trip), wait, c.times.queuedAt, c.times.begunAt)

	ack := s.hops().newFrameHop(tracing.AckWritten, trip, phase, nth, key)
	if isRepeat {
		ack.Code, ack.Reason = "repeated", repeat
	}
	if a.Code != "" {
		ack.Code, ack.Reason, ack.IsFailure = a.Code, a.Message, true
	}
	return ack
}

// willRepeat reports whether the phone sends the command again after this
// answer.
func willRepeat(a *answer) bool {
	switch wire.Code(a.Code) {
	case wire.CodeUnavailable, wire.CodeTooMany, wire.CodeInternal, wire.CodeNoPosition:
		return true
	}
	return false
}

// tripOfCommand returns the trip that a command was about; "" if there is none.
// A command that failed may name any trip: only that which the session follows
// counts.
func (s *session) tripOfCommand(c command, a *answer) trips.TripID {
	var named trips.TripID
	switch b := c.body.(type) {
	case *wire.ClientFrame_MoveTrip:
		named = trips.TripID(b.MoveTrip.GetTripId())
	case *wire.ClientFrame_CancelTrip:
		named = trips.TripID(b.CancelTrip.GetTripId())
	case *wire.ClientFrame_SendChat:
		named = trips.TripID(b.SendChat.GetTripId())
	case *wire.ClientFrame_AnswerOffer:
		named = a.offeredTrip
	}

	switch {
	case a.done.ID != "":
		return a.done.ID
	case a.Code == "" || named == a.offeredTrip:
		return named
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if named == s.cursor.trip {
		return named
	}
	return ""
}

func phaseOfCommand(c command, a *answer) (phase tracing.Phase, nth int) {
	switch b := c.body.(type) {
	case *wire.ClientFrame_RequestTrip:
		return tracing.Request, 0
	case *wire.ClientFrame_AnswerOffer:
		if b.AnswerOffer.GetAccept() {
			return tracing.Accept, 0
		}
		return tracing.Offer, a.offerNth
	case *wire.ClientFrame_SendChat:
		return tracing.Chat, int(a.ChatSeq)
	case *wire.ClientFrame_MoveTrip:
		return tracing.PhaseOf(stepKinds[b.MoveTrip.GetStep()]), 0
	}
	return tracing.Cancel, 0
}

// describeCommand returns the command's frame as JSON, without what is secret,
// and about how many bytes it had.
func (s *session) describeCommand(c command) (text string, size int) {
	f, shown := &wire.ClientFrame{Id: c.id, SentMs: c.times.sentMs}, &wire.ClientFrame{Id: c.id, SentMs: c.times.sentMs}
	switch b := c.body.(type) {
	case *wire.ClientFrame_RequestTrip:
		f.Body = b
		r := proto.CloneOf(b.RequestTrip)
		if r.GetQuote() != "" {
			r.Quote = withheld // it is signed
		}
		shown.Body = &wire.ClientFrame_RequestTrip{RequestTrip: r}
	case *wire.ClientFrame_SendChat:
		f.Body = b
		shown.Body = &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: b.SendChat.GetTripId(), Text: withheld}}
	case *wire.ClientFrame_AnswerOffer:
		f.Body, shown.Body = b, b
	case *wire.ClientFrame_MoveTrip:
		f.Body, shown.Body = b, b
	case *wire.ClientFrame_CancelTrip:
		f.Body, shown.Body = b, b
	}

	data, err := s.conn.codec.Append(nil, f)
	if err != nil {
		return "", 0
	}
	return frameText(shown), len(data)
}
