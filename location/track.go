package location

import (
	"math"
	"math/bits"
	"time"
)

// Track is what one driver's fixes so far say about whether they are made up.
// It has a fixed size and no pointers; its zero value has seen nothing. It is
// not safe for concurrent use.
//
// The rules ask what a fake position gives away without a map or a second
// sensor: speeds no road allows, words that contradict deeds, missing noise,
// and drives that were driven before. Fake drivers of each kind are reported in
// fleets and in navigation services: H. Su et al., GPS-Simulated Trajectory
// Detection, DASFAA workshops 2017 (simulated drives of taxi drivers); G. Wang
// et al., Ghost Riders, IEEE/ACM Trans. Networking 26(3), 2018 (scripts that
// pose as cars). The limits leave room for what honest phones do: see the
// traces in track_honest_test.go, and their sources.
type Track struct {
	lastPlace, windowStart      place   // the fix before, and the one that began the window
	velocityEast, velocityNorth float32 // metres per second, of the last movement
	cosLat                      float32 // of the latitude, about
	windowSeconds               float32 // seconds since it began
	// metres in it, by the phone's speeds and by its positions
	claimedMetres, movedMetres float32
	speedSeconds               float32 // seconds of this window with a speed
	// fixes on the same coordinates that said that the car drives
	frozenRun   uint8
	frozenSince int64 // the phone's clock at the first of them
	recentSteps [stretchSteps]uint32
	// seconds of the epoch when each flag was raised last
	raisedAt         [len(FlagNames)]uint32
	lastRejectAt     uint32 // seconds of the epoch, our clock
	teleportRun      uint8  // refused in a row
	futureRun        uint8
	fastWindows      uint8 // windows in a row
	idleWindows      uint8 // windows in a row with less movement than said
	badAccelerations uint8 // impossible accelerations; one is forgiven per window
	smoothRun        uint8 // movements in a row without jitter
	stepCount        uint8 // of steps, filled
	replayScore      uint8 // how much of what was driven lately was driven before
	busyWindows      uint8 // windows in a row with more movement than said
	reportsSpeed     bool  // the phone said a speed before
	hasVelocity      bool
}

// place is a fix as a Track keeps it.
type place struct {
	atNanos int64 // the phone's clock, nanoseconds of the epoch; 0: no place
	Point
	speed, accuracy float32
}

const (
	// metres per second
	maxRoadSpeed        = 200 / 3.6
	minStepSeconds      = 0.5 // seconds: fixes that follow faster are passed over
	maxStepSeconds      = 15  // seconds: a longer one is a silence
	windowLengthSeconds = 20  // seconds
	reflagSeconds       = 600 // seconds before the same flag is raised again
	rejectRunLength     = 3   // refused fixes that make a flag
	rejectRunGapSeconds = 60  // seconds between them, at most
	unknownAccuracy     = 20  // metres of a fix that does not say how good it is
	// metres: a fix that is surer is of satellites, whose receiver knows its
	// speed
	satelliteAccuracy = 20
	// seconds; some phones repeat their last position when they enter a tunnel
	frozenMinSeconds = 45
	frozenMinFixes   = 4
	// seconds after which a place that is repeated counts as where the car is
	maxRepeatSeconds = 120
	smoothMinSteps   = 20 // movements
	// metres; the quietest receivers jitter by decimetres from second to second
	smoothMaxError  = 0.02
	drivingSpeed    = 2    // metres per second: surely not parked
	stretchSteps    = 5    // movements that are recognised together
	stepGridDegrees = 1e-6 // degrees, 0.1 m: what movements are rounded to
	sampleModulus   = 8    // stretches, of which one is kept
	// for a stretch that is known; one less for each that is not
	replayHit             = 2
	replayThreshold       = 6
	windowThreshold       = 3 // windows in a row
	accelerationThreshold = 5
)

// TrackEvery is how long, on the phone's clock, a fix must come after another
// to say more about a drive.
func TrackEvery(pace float64) time.Duration {
	return time.Duration(minStepSeconds / pace * float64(time.Second))
}

// See takes a fix and what a Judge said of it, and returns the flags that it
// raises, each at most once in ten minutes. Pace is how many seconds of the
// city pass in one of the clock's; prints is shared by all drivers and may be
// nil.
func (t *Track) See(fix *Fix, why Reason, now time.Time, pace float64, prints *Footprints) Flags {
	dt := float64(fix.At.UnixNano()-t.lastPlace.atNanos) / 1e9 * pace
	if why == Believed && dt >= 0 && dt < minStepSeconds {
		// first, since a fast phone mostly ends here
		return 0
	}
	if why != Believed && why != Teleport && why != Future {
		return 0
	}

	p := place{fix.At.UnixNano(), fix.Point, fix.Speed / float32(pace), fix.Accuracy}
	if p.accuracy == 0 {
		p.accuracy = unknownAccuracy
	}

	switch {
	case why != Believed:
		return t.suppressRecent(t.countReject(p, why, uint32(now.Unix()), pace), uint32(now.Unix()))
	case t.lastPlace.atNanos == 0, dt < 0:
		// the first fix, or the phone's clock was set back
		t.restart(p)
		return 0
	}

	if t.futureRun|t.teleportRun != 0 && uint32(now.Unix())-t.lastRejectAt > rejectRunGapSeconds {
		t.futureRun, t.teleportRun = 0, 0
	}

	f := t.advance(p, dt, pace, prints)
	if f == 0 {
		return 0
	}

	return t.suppressRecent(f, uint32(now.Unix()))
}

// suppressRecent leaves out what was raised lately.
func (t *Track) suppressRecent(f Flags, now uint32) Flags {
	for rest := f; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros16(uint16(rest))
		if t.raisedAt[i] != 0 && now-t.raisedAt[i] < reflagSeconds {
			f &^= 1 << i
			continue
		}
		t.raisedAt[i] = max(now, 1)
	}
	return f
}

// countReject counts refusals that come one after the other. One alone is an
// outlier, as between high buildings. What is far from the last fix may be near
// enough to the place where the phone had its last news.
func (t *Track) countReject(p place, why Reason, now uint32, pace float64) Flags {
	if why == Teleport {
		x, y, _, _ := t.displacement(t.lastPlace, p)
		if math.Sqrt(x*x+y*y) <= maxRoadSpeed*float64(p.atNanos-t.lastPlace.atNanos)/1e9*pace+errorAllowance(t.lastPlace, p) {
			return 0
		}
	}

	if now-t.lastRejectAt > rejectRunGapSeconds {
		t.teleportRun, t.futureRun = 0, 0
	}
	t.lastRejectAt = now
	n, f := &t.teleportRun, FlagTeleport
	if why == Future {
		n, f = &t.futureRun, FlagFuture
	}

	*n = min(*n+1, rejectRunLength)
	if *n < rejectRunLength {
		return 0
	}

	return f
}

// startWindow starts a window at a place.
func (t *Track) startWindow(p place) {
	t.windowStart, t.windowSeconds, t.claimedMetres, t.movedMetres, t.speedSeconds = p, 0, 0, 0, 0
	t.cosLat = float32(max(0.01, math.Cos(p.Lat*rad)))
}

// restart starts anew at a place, since what was before says nothing about what
// comes.
func (t *Track) restart(p place) {
	t.lastPlace, t.hasVelocity = p, false
	t.frozenRun, t.smoothRun, t.stepCount, t.fastWindows, t.idleWindows, t.busyWindows = 0, 0, 0, 0, 0, 0
	t.startWindow(p)
}

// displacement is the way from one place to another in metres, east and north, and
// in degrees.
func (t *Track) displacement(a, b place) (x, y, dLng, dLat float64) {
	dLng, dLat = b.Lng-a.Lng, b.Lat-a.Lat
	if dLng > 180 {
		dLng -= 360
	} else if dLng < -180 {
		dLng += 360
	}
	return dLng * metresPerDegree * float64(t.cosLat), dLat * metresPerDegree, dLng, dLat
}

// errorAllowance is how far two readings may be apart for their errors alone. Phones mean
// a radius with two thirds of the errors in it, and are often too sure of it.
func errorAllowance(a, b place) float64 { return 100 + 2*float64(a.accuracy+b.accuracy) }

// advance takes the next fix, dt seconds after the last one that was news.
func (t *Track) advance(p place, dt, pace float64, prints *Footprints) (f Flags) {
	x, y, dLng, dLat := t.displacement(t.lastPlace, p)
	metres := math.Sqrt(x*x + y*y)
	if metres == 0 && p.accuracy == t.lastPlace.accuracy {
		// no news: the phone said this before
		return t.checkFrozen(p, pace)
	}
	t.frozenRun = 0

	if dt > maxStepSeconds {
		if metres > maxRoadSpeed*dt+errorAllowance(t.lastPlace, p) {
			f = FlagJump
		}
		t.restart(p)
		return f
	}

	f = t.checkSmooth(x, y, metres, dt) | t.checkAcceleration(p, dt) | t.checkReplay(dLng, dLat, prints)
	t.windowSeconds += float32(dt)
	t.movedMetres += float32(metres)

	t.reportsSpeed = t.reportsSpeed || p.speed > 0
	if t.lastPlace.speed > 0 && p.speed > 0 || t.reportsSpeed && p.accuracy <= satelliteAccuracy {
		t.speedSeconds += float32(dt)
		t.claimedMetres += (t.lastPlace.speed + p.speed) / 2 * float32(dt)
	}
	t.lastPlace = p
	if t.windowSeconds >= windowLengthSeconds {
		f |= t.checkWindow(p)
		t.startWindow(p)
	}

	return f
}
