package gateway

import (
	"strconv"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// Of a sampled trip at most two positions a second are recorded: a fix that is
// in another half second than the one before, by its own time, so that all
// nodes choose alike.

// halfSecond numbers the half second of a fix.
func halfSecond(fix location.Fix) int64 { return fix.At.UnixMilli() / 500 }

// fixKey names a fix in keys.
func fixKey(seq uint32) string { return "fix:" + strconv.FormatUint(uint64(seq), 10) }

// tracedRide is a driver's sampled trip, from the reservation to the end.
type tracedRide struct {
	// Fixed at creation.
	g     *Gateway
	codec wire.Codec
	trip  trips.TripID

	half int64 // of the last fix; the reader goroutine's
}

// takeFix reports whether the fix is to be recorded.
func (r *tracedRide) takeFix(fix location.Fix) bool {
	half := halfSecond(fix)
	isNext := half != r.half
	r.half = half
	return isNext
}

// traceRideLocked makes the session's reader record the fixes of a driver's
// trip, if it is sampled.
func (s *session) traceRideLocked(t trips.Trip) {
	ride := s.traced.Load()
	switch on := t.State.IsActive() && string(t.Driver) == s.user.ID && s.g.cfg.Tracer.Samples(string(t.ID)); {
	case !on && ride != nil:
		s.traced.Store(nil)
	case on && (ride == nil || ride.trip != t.ID):
		s.traced.Store(&tracedRide{g: s.g, codec: s.conn.codec, trip: t.ID})
	}
}

// recordFix records how a fix came here and was stored.
func (r *tracedRide) recordFix(f *wire.Fix, received, moved time.Time) {
	sent := r.newFixHop(f)
	began := wire.FromMillis(f.AtMs)
	if began.After(received) {
		began, sent.Reason = received, "The phone's clock is ahead of the node's."
	}
	r.g.cfg.Tracer.Record(string(r.trip), sent, began, received)

	stored := tracing.FixMoved.Hop(tracing.Position, int(f.Seq))
	stored.Cause = fixKey(f.Seq)
	r.g.cfg.Tracer.Record(string(r.trip), stored, received, moved)
}

// recordRefusedFix records a fix that the filter refused.
func (r *tracedRide) recordRefusedFix(why location.RejectReason, fix location.Fix, received time.Time) {
	sent := tracing.FixSent.Hop(tracing.Position, int(fix.Seq))
	sent.Code, sent.Reason, sent.IsFailure = string(why), "The position was not believed: the driver's phone is told why.", true
	r.g.cfg.Tracer.Record(string(r.trip), sent, received, received)
}

// newFixHop begins the hop of a fix from the phone.
func (r *tracedRide) newFixHop(f *wire.Fix) tracing.Hop {
	h := tracing.FixSent.Hop(tracing.Position, int(f.Seq))
	frame := &wire.ClientFrame{Body: &wire.ClientFrame_Fix{Fix: f}}
	h.Key, h.Frame = fixKey(f.Seq), frameText(frame)
	if data, err := r.codec.Append(nil, frame); err == nil {
		h.Bytes = len(data)
	}
	return h
}

// positionTrace is what is to be recorded of the positions of a sampled trip. It
// has no lock of its own.
type positionTrace struct {
	half int64 // of the newest position

	// The newest position, and when it was kept here; zero: it is not to be
	// recorded, or was.
	seq    uint32
	kept   time.Time
	waited bool // there was no room in the ack window then

	unacked [ackWindow]unackedPosition // by number, modulo the window
}

// unackedPosition is a position that was sent to the phone and is to be
// recorded when it is acked.
type unackedPosition struct {
	n, seq uint32
	sentAt time.Time // zero: there is none
}

// traceTripLocked begins to record the positions of the trip that is shown, if
// it is sampled.
func (o *sender) traceTripLocked() {
	p := &o.position
	p.trace = nil
	if p.driver != "" && o.g.cfg.Tracer.Samples(string(p.trip)) {
		p.trace = &positionTrace{half: halfSecond(p.fix)}
	}
}

// tracePositionLocked takes note of the position that was just kept. One that it
// replaced ends here.
func (o *sender) tracePositionLocked() {
	o.recordUnsentPositionLocked(outcomeOverwritten)

	t := o.position.trace
	half := halfSecond(o.position.fix)
	if half == t.half {
		return
	}
	t.half, t.seq, t.kept, t.waited = half, o.position.fix.Seq, o.g.cfg.Now(), !o.position.isReady()
}

// recordUnsentPositionLocked records what became of a position that waited and
// will not be sent.
func (o *sender) recordUnsentPositionLocked(what outcome) {
	if t := o.position.trace; t != nil && !t.kept.IsZero() {
		o.g.recordFrame(o.newPositionHopLocked(), what)
		t.kept = time.Time{}
	}
}

func (o *sender) newPositionHopLocked() *frameHop {
	t := o.position.trace
	h := tracing.PositionWritten.Hop(tracing.Position, int(t.seq))
	h.Cause, h.Source = fixKey(t.seq), o.g.cfg.Tracer.CallerLine(1)
	if t.waited {
		h.Reason = "It waited until the phone had shown an earlier one."
	}
	return &frameHop{Hop: h, trip: o.position.trip, began: t.kept}
}

// takePositionHopLocked returns what is to be recorded of the position that is
// about to be written, or nil. From then on its ack is awaited.
func (o *sender) takePositionHopLocked(f *positionFrame, data []byte) *frameHop {
	t := o.position.trace
	if t.kept.IsZero() {
		return nil
	}

	h := o.newPositionHopLocked()
	h.describe(&f.frame, data)
	t.kept = time.Time{}
	t.unacked[f.pos.N%ackWindow] = unackedPosition{f.pos.N, f.pos.Seq, wire.FromMillis(f.pos.SentMs)}
	return h
}

// recordShownLocked records the positions that the phone has acked by now.
func (o *sender) recordShownLocked(sentMs float64, now time.Time) {
	for i := range o.position.trace.unacked {
		u := &o.position.trace.unacked[i]
		if u.sentAt.IsZero() || u.n > o.position.acked {
			continue
		}

		h := tracing.PositionAcked.Hop(tracing.Position, int(u.seq))
		h.Cause = fixKey(u.seq)
		began := u.sentAt
		if at, _ := sentTime(sentMs, now); sentMs != 0 && at.After(began) {
			began = at
		}
		o.g.cfg.Tracer.Record(string(o.position.trip), h, began, now)
		*u = unackedPosition{}
	}
}
