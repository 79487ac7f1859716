package location

import (
	"math"
	"time"
)

// Fix is one reading of a phone's position.
type Fix struct {
	Point
	Seq      uint32    // Grows by one per fix within a connection.
	At       time.Time // By the phone's clock.
	Heading  float32   // Degrees clockwise from north.
	Speed    float32   // Metres per second.
	Accuracy float32   // Radius in metres; 0 means unknown.
}

// RejectReason names why a fix was refused. Empty means that the fix was
// accepted.
type RejectReason string

const (
	Accepted    RejectReason = ""
	OutOfRange  RejectReason = "out_of_range"
	NotANumber  RejectReason = "not_a_number"
	Stale       RejectReason = "stale"
	Future      RejectReason = "future"
	Inaccurate  RejectReason = "inaccurate"
	Teleport    RejectReason = "teleport"
	TooFrequent RejectReason = "too_frequent"
)

// RejectReasons lists every reason for a refusal, in the order in which Accept
// checks them.
var RejectReasons = []RejectReason{NotANumber, OutOfRange, Inaccurate, Future, Stale, TooFrequent, Teleport}

// FixFilter accepts or refuses fixes. It is a value without memory: the caller
// passes in the last accepted fix, which is all of the past that it uses.
type FixFilter struct {
	// MaxSpeed is the highest speed of a car, in metres per second. Simulators
	// that compress time multiply it.
	MaxSpeed float64

	// MaxAccuracy is the largest radius, in metres, of a usable fix.
	MaxAccuracy float64

	// Slack is the distance, in metres, by which two honest readings may
	// disagree however close in time they are.
	Slack float64

	// MinGap is the shortest time between two fixes, by the phone's clock.
	MinGap time.Duration

	// MaxAhead is how far the phone's clock may be ahead of ours.
	MaxAhead time.Duration

	// MaxAge is the age at which a fix comes too late.
	MaxAge time.Duration

	// ForgetAfter is the age after which the last accepted fix no longer limits
	// where the next one may be.
	ForgetAfter time.Duration

	// Pace is the number of simulated seconds per second of the clock. 0 means
	// 1.
	Pace float64
}

// DefaultFixFilter returns the limits for real cars and real phones.
func DefaultFixFilter() FixFilter {
	return FixFilter{MaxSpeed: 70, MaxAccuracy: 200, Slack: 100, MinGap: 5 * time.Millisecond, MaxAhead: 10 * time.Second,
		MaxAge: 2 * time.Minute, ForgetAfter: 20 * time.Second}
}

// WithPace returns the limits for a world in which time runs x times as fast.
// It never slows down: x below 1 counts as 1.
func (j FixFilter) WithPace(x float64) FixFilter {
	j.MaxSpeed *= max(1, x)
	j.Pace = max(1, j.Pace) * max(1, x)
	return j
}

// Accept returns Accepted or the reason to refuse fix. It compares fix with
// last, the last accepted one, if haveLast is true. Only the time orders fixes:
// Seq starts again when a phone restarts.
//
// Accept refuses a jump while the last accepted fix is younger than
// ForgetAfter. After that it accepts the next fix wherever it is. So one wrong
// fix, or a ferry ride without signal, locks a driver out for no longer than
// that. The same holds for a phone whose clock was set back.
func (j FixFilter) Accept(last Fix, haveLast bool, fix Fix, now time.Time) RejectReason {
	if r := j.checkFix(fix, now); r != Accepted {
		return r
	}
	if !haveLast || now.Sub(last.At) > j.ForgetAfter {
		return Accepted
	}
	return j.checkMovement(last, fix)
}

// checkFix applies the rules that need only the fix itself.
func (j FixFilter) checkFix(fix Fix, now time.Time) RejectReason {
	for _, v := range [...]float64{fix.Lng, fix.Lat, float64(fix.Heading), float64(fix.Speed), float64(fix.Accuracy)} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return NotANumber
		}
	}

	switch ahead := fix.At.Sub(now); {
	case fix.CheckRange() != nil, fix.Heading < 0, fix.Heading > 360, fix.Speed < 0, fix.Accuracy < 0:
		return OutOfRange
	case float64(fix.Accuracy) > j.MaxAccuracy:
		return Inaccurate
	case ahead > j.MaxAhead:
		return Future
	case ahead < -j.MaxAge:
		return Stale
	}

	return Accepted
}

// checkMovement applies the rules that compare a fix with the one before it.
func (j FixFilter) checkMovement(last, fix Fix) RejectReason {
	gap := fix.At.Sub(last.At)
	if gap <= 0 {
		return Stale
	}
	if gap < j.MinGap {
		return TooFrequent
	}

	far := j.MaxSpeed*gap.Seconds() + j.Slack + float64(last.Accuracy) + float64(fix.Accuracy)
	if flat := NewLocalPlane(last.Point); flat.SquaredMetres(fix.Point) > far*far {
		return Teleport
	}
	return Accepted
}
