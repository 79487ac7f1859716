package gateway

import (
	"fmt"
	"math"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// refusalInterval is the shortest time between two frames about refused fixes.
const refusalInterval = time.Second

// fixRefusals counts the fixes of a phone that were refused and of which it was
// not told yet. A session has none before its first refused fix. It has no lock
// of its own.
type fixRefusals struct {
	latest fixRefusal
	count  uint32    // since the last frame
	sentAt time.Time // the last frame
}

// fixRefusal is why a fix was refused.
type fixRefusal struct {
	reason wire.FixReason
	text   string // for a person
}

// isDue returns true if the phone is to be told now.
func (r *fixRefusals) isDue(now time.Time) bool {
	return r != nil && r.count > 0 && now.Sub(r.sentAt) >= refusalInterval
}

// takeFrame returns the frame to send, and begins to count anew.
func (r *fixRefusals) takeFrame(now time.Time) *wire.ServerFrame {
	f := &wire.FixRefused{Reason: string(r.latest.reason), Count: r.count, Message: r.latest.text}
	r.count, r.sentAt = 0, now
	return &wire.ServerFrame{Body: &wire.ServerFrame_FixRefused{FixRefused: f}}
}

// refuseMalformedFix counts and answers a fix that the filter cannot judge. It
// is apart from receiveFix, so that a believed fix pays nothing for it.
func (s *session) refuseMalformedFix(f *wire.Fix, now time.Time) {
	s.g.metrics.updates.WithLabelValues("malformed").Inc()
	s.out.refuseFix(explainMalformedFix(s.user.Role, f), now)
}

// refuseFix counts and answers a fix that the filter refused.
func (s *session) refuseFix(why location.RejectReason, fix location.Fix, now time.Time) {
	s.g.metrics.updates.WithLabelValues(string(why)).Inc()
	if ride := s.traced.Load(); ride != nil && ride.takeFix(fix) {
		ride.recordRefusedFix(why, fix, now)
	}
	last, _ := s.g.cfg.Drivers.Get(trips.DriverID(s.user.ID))
	s.out.refuseFix(explainRefusedFix(why, fix, last.Fix, s.g.cfg.Drivers.FixFilter(), now), now)
}

// refuseFix tells the phone that a fix was refused: now if it was not told of
// another one within the last second, else by sendRefusals. The session's
// reader calls it.
func (o *sender) refuseFix(why fixRefusal, now time.Time) {
	o.mu.Lock()
	if o.refusals == nil {
		o.refusals = new(fixRefusals)
	}
	o.refusals.latest = why
	o.refusals.count++
	o.mu.Unlock()

	if o.sendRefusals(now) {
		o.flush()
	}
}

// sendRefusals queues the frame about refused fixes, if one is due. A phone
// that does not read gets one later, with a higher count, instead of many. If
// it returns true the caller must call flush.
func (o *sender) sendRefusals(now time.Time) bool {
	o.mu.Lock()
	if !o.refusals.isDue(now) || !o.queue.isEmpty() || o.conn.hasEnded() {
		o.mu.Unlock()
		return false
	}
	f := o.refusals.takeFrame(now)
	o.mu.Unlock()

	return o.queueFrame(f, outcomeSent, nil)
}

// explainMalformedFix explains why a fix cannot even be compared with others.
func explainMalformedFix(from trips.Role, f *wire.Fix) fixRefusal {
	switch {
	case from != trips.RoleDriver:
		return fixRefusal{wire.FixForbidden, fmt.Sprintf("Only drivers send fixes; you are a %s.", from)}
	case f.GetPoint() == nil:
		return fixRefusal{wire.FixNoPoint, `A fix needs a "point" with lng and lat.`}
	case f.AtMs > maxMillis:
		return fixRefusal{wire.FixFromFuture, wrongUnit + "this looks like microseconds or nanoseconds."}
	case f.AtMs < -maxMillis:
		return fixRefusal{wire.FixTooOld, wrongUnit + "this lies before every phone."}
	}
	return fixRefusal{wire.FixBadNumber, "at_ms is not a number."}
}

const (
	wrongUnit = "at_ms is milliseconds since 1970-01-01 UTC; "
	// latestSeconds is a time in seconds that would be no time of ours in
	// milliseconds: the year 5138, and 1973.
	latestSeconds = 1e11
)

// explainRefusedFix explains the filter's refusal of a fix. last is the fix
// that was believed last; its time is zero if there is none.
func explainRefusedFix(why location.RejectReason, fix, last location.Fix, filter location.FixFilter, now time.Time) fixRefusal {
	switch why {
	case location.NotANumber:
		return fixRefusal{wire.FixBadNumber, "lng, lat, heading, speed and accuracy must be numbers."}
	case location.OutOfRange:
		return fixRefusal{wire.FixOutOfRange, "lng is -180 to 180, lat -90 to 90, heading 0 to 360, speed and accuracy are 0 or more." +
			swappedWords(math.Abs(fix.Lat) > 90 && swapPoint(fix.Point).CheckRange() == nil)}
	case location.Inaccurate:
		return fixRefusal{wire.FixInaccurate, fmt.Sprintf("The accuracy is %.0f m; it must be %.0f m or better.", fix.Accuracy, filter.MaxAccuracy)}
	case location.Future:
		return fixRefusal{wire.FixFromFuture, fmt.Sprintf("at_ms is %.0f s ahead of the node's clock, and may be %.0f s; correct yours by ping and pong.",
			fix.At.Sub(now).Seconds(), filter.MaxAhead.Seconds())}
	case location.Stale:
		return explainStale(fix, last, filter, now)
	case location.TooFrequent:
		return fixRefusal{wire.FixTooSoon, fmt.Sprintf("at_ms is less than %d ms after that of the last believed fix.", filter.MinGap.Milliseconds())}
	}

	swapped := fix
	swapped.Point = swapPoint(fix.Point)
	return fixRefusal{wire.FixTooFast, fmt.Sprintf("No car drives like that: it is %.0f m from the last believed fix, %.3f s after it.",
		location.MetresBetween(last.Point, fix.Point), fix.At.Sub(last.At).Seconds()) +
		swappedWords(filter.Accept(last, true, swapped, now) == location.Accepted)}
}

// explainStale explains the filter's one reason for two cases: too old by the
// clock, and not later than the last believed fix.
func explainStale(fix, last location.Fix, filter location.FixFilter, now time.Time) fixRefusal {
	ms := wire.ToMillis(fix.At)
	switch behind := now.Sub(fix.At); {
	case behind <= filter.MaxAge:
		return fixRefusal{wire.FixNotNewer, fmt.Sprintf("at_ms is not later than that of the last believed fix, %.0f.", wire.ToMillis(last.At))}
	case ms == 0:
		return fixRefusal{wire.FixTooOld, "at_ms is missing: the time of the fix, in milliseconds since 1970-01-01 UTC."}
	case ms > 0 && ms < latestSeconds:
		return fixRefusal{wire.FixTooOld, wrongUnit + "this looks like seconds."}
	default:
		return fixRefusal{wire.FixTooOld, fmt.Sprintf("at_ms is %.0f s behind the node's clock, and may be %.0f s; correct yours by ping and pong.",
			behind.Seconds(), filter.MaxAge.Seconds())}
	}
}

func swapPoint(p location.Point) location.Point { return location.Point{Lng: p.Lat, Lat: p.Lng} }

func swappedWords(likely bool) string {
	if !likely {
		return ""
	}
	return " Perhaps lng and lat are swapped."
}
