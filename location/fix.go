package location

import (
	"math"
	"time"
)

// Fix is one reading of a phone's position.
type Fix struct {
	Point
	Seq      uint32    // grows by one per fix within a connection
	At       time.Time // the phone's clock
	Heading  float32   // degrees clockwise from north
	Speed    float32   // metres per second
	Accuracy float32   // metres; 0 means unknown
}

// Reason names why a fix was refused; empty means believed.
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

// Reasons lists every reason for a refusal, in the order in which Believe looks
// for them.
var Reasons = []Reason{NotANumber, OutOfRange, Inaccurate, Future, Stale, TooFrequent, Teleport}

// Judge believes or refuses fixes. It is a value without memory: all it knows
// of the past is the last believed fix.
type Judge struct {
	// metres per second a car can go; simulators that compress time multiply it
	MaxSpeed    float64
	MaxAccuracy float64 // metres of radius above which a fix says nothing
	// metres two honest readings may disagree by, whatever the time between
	// them
	Slack float64
	// between two fixes, on the phone's clock
	MinGap time.Duration
	// how far the phone's clock may be ahead of ours
	MaxAhead time.Duration
	// how old a fix may be when it comes
	MaxAge time.Duration
	Forget time.Duration // a believed fix older than this binds nobody
	Pace   float64       // seconds of the city in one of the clock's; 0 means 1
}

// DefaultJudge suits real cars and real phones.
func DefaultJudge() Judge {
	return Judge{MaxSpeed: 70, MaxAccuracy: 200, Slack: 100, MinGap: 5 * time.Millisecond, MaxAhead: 10 * time.Second,
		MaxAge: 2 * time.Minute, Forget: 20 * time.Second}
}

// Faster returns the judge of a world where time runs x times as fast.
func (j Judge) Faster(x float64) Judge {
	j.MaxSpeed *= max(1, x)
	j.Pace = max(1, j.Pace) * max(1, x)
	return j
}

// Believe judges a fix by the last one believed. Only the time orders fixes:
// Seq starts again when a phone restarts.
//
// A jump is refused as long as the last believed fix is younger than Forget.
// After that the next fix is believed wherever it is, so that one wrong fix, or
// a ride on a ferry without signal, locks nobody out for longer. The same holds
// for a phone whose clock was set back.
func (j Judge) Believe(last Fix, haveLast bool, fix Fix, now time.Time) Reason {
	if r := j.checkFix(fix, now); r != Believed {
		return r
	}
	if !haveLast || now.Sub(last.At) > j.Forget {
		return Believed
	}
	return j.checkMovement(last, fix)
}

// checkFix judges what needs no past.
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

// checkMovement judges a fix by the one before it.
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
