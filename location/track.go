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
	last, from place   // the fix before, and the one that began the window
	vx, vy     float32 // metres per second, of the last movement
	cos        float32 // of the latitude, about
	window     float32 // seconds since it began
	// metres in it, by the phone's speeds and by its positions
	said, moved float32
	spoke       float32 // seconds of this window with a speed
	// fixes on the same coordinates that said that the car drives
	frozen     uint8
	frozenFrom int64 // the phone's clock at the first of them
	steps      [stretch]uint32
	// seconds of the epoch when each flag was raised last
	flagged      [len(FlagNames)]uint32
	refusedAt    uint32 // seconds of the epoch, our clock
	teleports    uint8  // refused in a row
	futures      uint8
	fast         uint8 // windows in a row
	idle         uint8 // windows in a row with less movement than said
	bolts        uint8 // impossible accelerations; one is forgiven per window
	smooth       uint8 // movements in a row without jitter
	strides      uint8 // of steps, filled
	echoes       uint8 // how much of what was driven lately was driven before
	busy         uint8 // windows in a row with more movement than said
	speaks       bool  // the phone said a speed before
	hasDirection bool
}

// place is a fix as a Track keeps it.
type place struct {
	at int64 // the phone's clock, nanoseconds of the epoch; 0: no place
	Point
	speed, accuracy float32
}

const (
	// metres per second
	roadSpeed    = 200 / 3.6
	shortestStep = 0.5 // seconds: fixes that follow faster are passed over
	longestStep  = 15  // seconds: a longer one is a silence
	windowLength = 20  // seconds
	flagAgain    = 600 // seconds before the same flag is raised again
	refusedRow   = 3   // refused fixes that make a flag
	refusedApart = 60  // seconds between them, at most
	unknownError = 20  // metres of a fix that does not say how good it is
	// metres: a fix that is surer is of satellites, whose receiver knows its
	// speed
	satellites = 20
	// seconds; some phones repeat their last position when they enter a tunnel
	frozenAfter = 45
	frozenFixes = 4
	// seconds after which a place that is repeated counts as where the car is
	oldNews     = 120
	smoothAfter = 20 // movements
	// metres; the quietest receivers jitter by decimetres from second to second
	smoothError = 0.02
	driving     = 2    // metres per second: surely not parked
	stretch     = 5    // movements that are recognised together
	stride      = 1e-6 // degrees, 0.1 m: what movements are rounded to
	oneIn       = 8    // stretches, of which one is kept
	// for a stretch that is known; one less for each that is not
	echoHit      = 2
	echoesEnough = 6
	wordsEnough  = 3 // windows in a row
	boltsEnough  = 5
)

// TrackEvery is how long, on the phone's clock, a fix must come after another
// to say more about a drive.
func TrackEvery(pace float64) time.Duration {
	return time.Duration(shortestStep / pace * float64(time.Second))
}

// See takes a fix and what a Judge said of it, and returns the flags that it
// raises, each at most once in ten minutes. Pace is how many seconds of the
// city pass in one of the clock's; prints is shared by all drivers and may be
// nil.
func (t *Track) See(fix *Fix, why Reason, now time.Time, pace float64, prints *Footprints) Flags {
	dt := float64(fix.At.UnixNano()-t.last.at) / 1e9 * pace
	if why == Believed && dt >= 0 && dt < shortestStep {
		// first, since a fast phone mostly ends here
		return 0
	}
	if why != Believed && why != Teleport && why != Future {
		return 0
	}

	p := place{fix.At.UnixNano(), fix.Point, fix.Speed / float32(pace), fix.Accuracy}
	if p.accuracy == 0 {
		p.accuracy = unknownError
	}

	switch {
	case why != Believed:
		return t.once(t.refused(p, why, uint32(now.Unix()), pace), uint32(now.Unix()))
	case t.last.at == 0, dt < 0:
		// the first fix, or the phone's clock was set back
		t.forget(p)
		return 0
	}

	if t.futures|t.teleports != 0 && uint32(now.Unix())-t.refusedAt > refusedApart {
		t.futures, t.teleports = 0, 0
	}

	f := t.step(p, dt, pace, prints)
	if f == 0 {
		return 0
	}

	return t.once(f, uint32(now.Unix()))
}

// once leaves out what was raised lately.
func (t *Track) once(f Flags, now uint32) Flags {
	for rest := f; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros16(uint16(rest))
		if t.flagged[i] != 0 && now-t.flagged[i] < flagAgain {
			f &^= 1 << i
			continue
		}
		t.flagged[i] = max(now, 1)
	}
	return f
}

// refused counts refusals that come one after the other. One alone is an
// outlier, as between high buildings. What is far from the last fix may be near
// enough to the place where the phone had its last news.
func (t *Track) refused(p place, why Reason, now uint32, pace float64) Flags {
	if why == Teleport {
		x, y, _, _ := t.between(t.last, p)
		if math.Sqrt(x*x+y*y) <= roadSpeed*float64(p.at-t.last.at)/1e9*pace+room(t.last, p) {
			return 0
		}
	}

	if now-t.refusedAt > refusedApart {
		t.teleports, t.futures = 0, 0
	}
	t.refusedAt = now
	n, f := &t.teleports, FlagTeleport
	if why == Future {
		n, f = &t.futures, FlagFuture
	}

	*n = min(*n+1, refusedRow)
	if *n < refusedRow {
		return 0
	}

	return f
}

// begin starts a window at a place.
func (t *Track) begin(p place) {
	t.from, t.window, t.said, t.moved, t.spoke = p, 0, 0, 0, 0
	t.cos = float32(max(0.01, math.Cos(p.Lat*rad)))
}

// forget starts anew at a place, since what was before says nothing about what
// comes.
func (t *Track) forget(p place) {
	t.last, t.hasDirection = p, false
	t.frozen, t.smooth, t.strides, t.fast, t.idle, t.busy = 0, 0, 0, 0, 0, 0
	t.begin(p)
}

// between is the way from one place to another in metres, east and north, and
// in degrees.
func (t *Track) between(a, b place) (x, y, dLng, dLat float64) {
	dLng, dLat = b.Lng-a.Lng, b.Lat-a.Lat
	if dLng > 180 {
		dLng -= 360
	} else if dLng < -180 {
		dLng += 360
	}
	return dLng * metresPerDegree * float64(t.cos), dLat * metresPerDegree, dLng, dLat
}

// room is how far two readings may be apart for their errors alone. Phones mean
// a radius with two thirds of the errors in it, and are often too sure of it.
func room(a, b place) float64 { return 100 + 2*float64(a.accuracy+b.accuracy) }

// step takes the next fix, dt seconds after the last one that was news.
func (t *Track) step(p place, dt, pace float64, prints *Footprints) (f Flags) {
	x, y, dLng, dLat := t.between(t.last, p)
	metres := math.Sqrt(x*x + y*y)
	if metres == 0 && p.accuracy == t.last.accuracy {
		// no news: the phone said this before
		return t.still(p, pace)
	}
	t.frozen = 0

	if dt > longestStep {
		if metres > roadSpeed*dt+room(t.last, p) {
			f = FlagJump
		}
		t.forget(p)
		return f
	}

	f = t.quiet(x, y, metres, dt) | t.bolt(p, dt) | t.echo(dLng, dLat, prints)
	t.window += float32(dt)
	t.moved += float32(metres)

	t.speaks = t.speaks || p.speed > 0
	if t.last.speed > 0 && p.speed > 0 || t.speaks && p.accuracy <= satellites {
		t.spoke += float32(dt)
		t.said += (t.last.speed + p.speed) / 2 * float32(dt)
	}
	t.last = p
	if t.window >= windowLength {
		f |= t.judge(p)
		t.begin(p)
	}

	return f
}
