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

// Reason names why a fix was refused. Empty means that the fix was accepted.
type Reason string

const (
	Believed    Reason = ""
	OutOfRange  Reason = "out_of_range"
	NotANumber  Reason = "not_a_number"
	Stale       Reason = "stale"
	Future      Reason = "future"
	Inaccurate  Reason = "inaccurate"
	Teleport    Reason = "teleport"
	TooFrequent Reason = "too_frequent"
)

// Reasons lists every reason for a refusal, in the order in which Believe
// checks them.
var Reasons = []Reason{NotANumber, OutOfRange, Inaccurate, Future, Stale, TooFrequent, Teleport}

// Judge accepts or refuses fixes. It is a value without memory: the caller
// passes in the last accepted fix, which is all of the past that it uses.
type Judge struct {
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

	// Forget is the age after which the last accepted fix no longer limits
	// where the next one may be.
	Forget time.Duration

	// Pace is the number of simulated seconds per second of the clock. 0 means
	// 1.
	Pace float64
}

// DefaultJudge returns the limits for real cars and real phones.
func DefaultJudge() Judge {
	return Judge{MaxSpeed: 70, MaxAccuracy: 200, Slack: 100, MinGap: 5 * time.Millisecond, MaxAhead: 10 * time.Second,
		MaxAge: 2 * time.Minute, Forget: 20 * time.Second}
}

// Faster returns the limits for a world in which time runs x times as fast. It
// never slows down: x below 1 counts as 1.
func (j Judge) Faster(x float64) Judge {
	j.MaxSpeed *= max(1, x)
	j.Pace = max(1, j.Pace) * max(1, x)
	return j
}

// Believe returns Believed or the reason to refuse fix. It compares fix with
// last, the last accepted one, if haveLast is true. Only the time orders fixes:
// Seq starts again when a phone restarts.
//
// Believe refuses a jump while the last accepted fix is younger than Forget.
// After that it accepts the next fix wherever it is. So one wrong fix, or a
// ferry ride without signal, locks a driver out for no longer than that. The
// same holds for a phone whose clock was set back.
func (j Judge) Believe(last Fix, haveLast bool, fix Fix, now time.Time) Reason {
	if r := j.checkFix(fix, now); r != Believed {
		return r
	}
	if !haveLast || now.Sub(last.At) > j.Forget {
		return Believed
	}
	return j.checkMovement(last, fix)
}

// checkFix applies the rules that need only the fix itself.
func (j Judge) checkFix(fix Fix, now time.Time) Reason {
	for _, v := range [...]float64{fix.Lng, fix.Lat, float64(fix.Heading), float64(fix.Speed), float64(fix.Accuracy)} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return NotANumber
		}
	}

	switch ahead := fix.At.Sub(now); {
	case fix.Check() != nil, fix.Heading < 0, fix.Heading > 360, fix.Speed < 0, fix.Accuracy < 0:
		return OutOfRange
	case float64(fix.Accuracy) > j.MaxAccuracy:
		return Inaccurate
	case ahead > j.MaxAhead:
		return Future
	case ahead < -j.MaxAge:
		return Stale
	}

	return Believed
}

// checkMovement applies the rules that compare a fix with the one before it.
func (j Judge) checkMovement(last, fix Fix) Reason {
	gap := fix.At.Sub(last.At)
	if gap <= 0 {
		return Stale
	}
	if gap < j.MinGap {
		return TooFrequent
	}

	far := j.MaxSpeed*gap.Seconds() + j.Slack + float64(last.Accuracy) + float64(fix.Accuracy)
	if flat := FlatAt(last.Point); flat.Square(fix.Point) > far*far {
		return Teleport
	}
	return Believed
}
