package location

import (
	"math"
	"math/bits"
	"time"
)

// Track decides from one driver's fixes so far whether they are made up. It has
// a fixed size and no pointers. Its zero value has seen nothing. It is not safe
// for concurrent use.
//
// The rules look for what a fake position gives away without a map or a second
// sensor: speeds that no road allows, claims that contradict the movement,
// missing noise, and repeated drives. Fake drivers of each kind are reported in
// fleets and in navigation services: H. Su et al., GPS-Simulated Trajectory
// Detection, DASFAA workshops 2017 (simulated drives of taxi drivers); G. Wang
// et al., Ghost Riders, IEEE/ACM Trans. Networking 26(3), 2018 (scripts that
// pose as cars). The limits leave room for what honest phones do: see the
// traces in track_honest_test.go and their sources.
type Track struct {
	// The current position, and the window in which movement is summed up.
	lastPlace     place
	windowStart   place
	velocityEast  float32 // Of the last movement, in metres per second.
	velocityNorth float32
	cosLat        float32 // At the start of the window.
	windowSeconds float32 // Since the start of the window.
	claimedMetres float32 // In this window, by the phone's speeds.
	movedMetres   float32 // In this window, by the phone's positions.
	speedSeconds  float32 // In this window, with a speed from the phone.

	// FlagFrozen: fixes on the same coordinates that claim a driving speed.
	frozenRun   uint8
	frozenSince int64 // Phone's clock at the first of them, in nanoseconds.

	recentSteps  [stretchSteps]uint32   // Hashes of the last movements.
	raisedAt     [len(FlagNames)]uint32 // Unix seconds, for each flag.
	lastRejectAt uint32                 // Unix seconds by our clock.

	// Counters, each saturating at its threshold.
	teleportRun      uint8 // Refusals in a row.
	futureRun        uint8 // Refusals in a row.
	fastWindows      uint8 // Windows in a row above road speed.
	idleWindows      uint8 // Windows in a row with less movement.
	badAccelerations uint8 // One is forgiven per window.
	smoothRun        uint8 // Movements in a row without jitter.
	stepCount        uint8 // Valid entries of recentSteps.
	replayScore      uint8 // Grows with each known stretch.
	busyWindows      uint8 // Windows in a row with more movement.

	reportsSpeed bool // The phone has given a speed before.
	hasVelocity  bool
}

// place is a fix as a Track keeps it.
type place struct {
	atNanos int64 // Phone's clock in Unix nanoseconds; 0 means no place.
	Point
	speed, accuracy float32
}

const (
	maxRoadSpeed        = 200 / 3.6 // Metres per second.
	minStepSeconds      = 0.5       // Fixes that follow faster are skipped.
	maxStepSeconds      = 15        // A longer gap is a silence.
	windowLengthSeconds = 20
	reflagSeconds       = 600 // Before the same flag is raised again.
	rejectRunLength     = 3   // Refusals in a row that raise a flag.
	rejectRunGapSeconds = 60  // Longest time between them.
	unknownAccuracy     = 20  // In metres, for a fix without one.
	drivingSpeed        = 2   // Metres per second: certainly not parked.

	// A fix that claims to be more accurate than this, in metres, comes from
	// satellites, and such a receiver knows its speed.
	satelliteAccuracy = 20

	// Some phones repeat their last position when they enter a tunnel. So
	// FlagFrozen needs this many seconds and fixes.
	frozenMinSeconds = 45
	frozenMinFixes   = 4

	// A repeated position older than this, in seconds, counts as current.
	maxRepeatSeconds = 120

	// The quietest receivers jitter by decimetres from second to second. So
	// FlagSmooth needs this many steps with an error below this many metres.
	smoothMinSteps = 20
	smoothMaxError = 0.02

	stretchSteps    = 5    // Movements that are recognised together.
	stepGridDegrees = 1e-6 // Movements are rounded to this, about 0.1 m.
	sampleModulus   = 8    // One stretch in so many is kept.

	replayHit             = 2 // For a known stretch; an unknown one costs 1.
	replayThreshold       = 6
	windowThreshold       = 3 // Windows in a row.
	accelerationThreshold = 5
)

// MinTrackInterval returns the shortest time between two fixes, by the phone's
// clock, that a Track uses. It skips fixes that follow faster.
func MinTrackInterval(pace float64) time.Duration {
	return time.Duration(minStepSeconds / pace * float64(time.Second))
}

// ObserveFix takes a fix and the FixFilter's answer to it, and returns the
// flags that it raises. It raises each flag at most once in ten minutes. Pace
// is the number of simulated seconds per second of the clock. All drivers share
// prints, which may be nil.
func (t *Track) ObserveFix(fix *Fix, why RejectReason, now time.Time, pace float64, prints *DriveFingerprints) Flags {
	dt := float64(fix.At.UnixNano()-t.lastPlace.atNanos) / 1e9 * pace
	if why == Accepted && dt >= 0 && dt < minStepSeconds {
		// Checked first, because most fixes of a fast phone end here.
		return 0
	}
	if why != Accepted && why != Teleport && why != Future {
		return 0
	}

	p := place{fix.At.UnixNano(), fix.Point, fix.Speed / float32(pace), fix.Accuracy}
	if p.accuracy == 0 {
		p.accuracy = unknownAccuracy
	}

	switch {
	case why != Accepted:
		return t.suppressRecent(t.countReject(p, why, uint32(now.Unix()), pace), uint32(now.Unix()))
	case t.lastPlace.atNanos == 0, dt < 0:
		// This is the first fix, or the phone's clock was set back.
		t.restartAt(p)
		return 0
	}

	if t.futureRun|t.teleportRun != 0 && uint32(now.Unix())-t.lastRejectAt > rejectRunGapSeconds {
		t.futureRun, t.teleportRun = 0, 0
	}

	f := t.advanceTo(p, dt, pace, prints)
	if f == 0 {
		return 0
	}

	return t.suppressRecent(f, uint32(now.Unix()))
}

// suppressRecent removes from f the flags that were raised recently, and notes
// the others as raised now.
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

// countReject counts consecutive refusals and returns the flag of a long run.
// One refusal alone is an outlier, as between tall buildings. A fix that a car
// could have reached since the last movement is no teleport, although it was
// refused as one.
func (t *Track) countReject(p place, why RejectReason, now uint32, pace float64) Flags {
	if why == Teleport {
		x, y, _, _ := t.displacementBetween(t.lastPlace, p)
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

// restartAt starts over at a place, because the past says nothing about what
// follows.
func (t *Track) restartAt(p place) {
	t.lastPlace, t.hasVelocity = p, false
	t.frozenRun, t.smoothRun, t.stepCount, t.fastWindows, t.idleWindows, t.busyWindows = 0, 0, 0, 0, 0, 0
	t.startWindow(p)
}

// displacementBetween returns the way from a to b in metres east and north, and
// in degrees of longitude and latitude.
func (t *Track) displacementBetween(a, b place) (x, y, dLng, dLat float64) {
	dLng, dLat = b.Lng-a.Lng, b.Lat-a.Lat
	if dLng > 180 {
		dLng -= 360
	} else if dLng < -180 {
		dLng += 360
	}
	return dLng * metresPerDegree * float64(t.cosLat), dLat * metresPerDegree, dLng, dLat
}

// errorAllowance returns how many metres two readings may be apart because of
// their errors alone. Phones report a radius that holds two thirds of the
// errors, and often a radius that is too small.
func errorAllowance(a, b place) float64 { return 100 + 2*float64(a.accuracy+b.accuracy) }

// advanceTo takes the next fix, dt seconds after the last one that differed.
func (t *Track) advanceTo(p place, dt, pace float64, prints *DriveFingerprints) (f Flags) {
	x, y, dLng, dLat := t.displacementBetween(t.lastPlace, p)
	metres := math.Sqrt(x*x + y*y)
	if metres == 0 && p.accuracy == t.lastPlace.accuracy {
		// The phone repeats its last position.
		return t.checkFrozen(p, pace)
	}
	t.frozenRun = 0

	if dt > maxStepSeconds {
		if metres > maxRoadSpeed*dt+errorAllowance(t.lastPlace, p) {
			f = FlagJump
		}
		t.restartAt(p)
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
