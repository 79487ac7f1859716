package location

import "math"

// judge compares a window's movement with what roads allow and with what the
// phone said of its speed.
func (t *Track) judge(p place) (f Flags) {
	x, y, _, _ := t.between(t.from, p)
	chord, seconds := math.Sqrt(x*x+y*y), float64(t.window)
	allowed := room(t.from, p)

	// Errors add little to the length of a fast way, so windows in a row need
	// no room.
	t.fast = inRow(t.fast, float64(max(t.moved, t.said)) > roadSpeed*seconds)
	if t.fast == wordsEnough || chord > roadSpeed*seconds+allowed {
		f |= FlagSpeed
	}

	t.bolts -= min(t.bolts, 1)

	if float64(t.spoke) < .8*seconds {
		// a speed of 0 may mean that the phone does not know it
		t.idle, t.busy = 0, 0
		return f
	}
	said := float64(t.said)
	t.busy = inRow(t.busy, said > driving*seconds && chord > 1.8*said+allowed/2)

	// a tired receiver may stay behind for a while
	t.idle = inRow(t.idle, said > 2*float64(t.moved)+allowed)
	if chord > 1.3*said+allowed || max(t.busy, t.idle) == wordsEnough {
		f |= FlagContradiction
	}

	return f
}

// inRow counts windows in a row of which something is true.
func inRow(n uint8, is bool) uint8 {
	if !is {
		return 0
	}
	return min(n+1, wordsEnough)
}

// bolt looks at the change of the phone's own speed, which it measures to some
// decimetres per second, apart from its position. Sports cars gain 6 m/s a
// second; dry brakes take 10.
func (t *Track) bolt(p place, dt float64) Flags {
	if t.last.speed == 0 && t.spoke == 0 {
		return 0 // it may only have learnt its speed now
	}
	gain := float64(p.speed - t.last.speed)
	if gain <= 6*dt+4 && gain >= -10*dt-4 || p.speed == 0 {
		return 0
	}
	if t.bolts = min(t.bolts+1, boltsEnough); t.bolts < boltsEnough {
		return 0
	}
	return FlagAcceleration
}

// still takes a fix that repeats the one before to the last digit. A phone that
// has lost its satellites does that for a while, and a parked one for long; but
// not one that drives.
func (t *Track) still(p place, pace float64) Flags {
	t.smooth, t.strides, t.hasDirection = 0, 0, false
	seconds := func(since int64) float64 { return float64(p.at-since) / 1e9 * pace }
	if seconds(t.last.at) > oldNews {
		t.last.at = p.at - int64(oldNews*1e9/pace)
	}
	if p.speed <= driving {
		t.frozen = 0
		return 0
	}
	if t.frozen == 0 {
		t.frozenFrom = p.at
	}
	if t.frozen = min(t.frozen+1, frozenFixes); t.frozen < frozenFixes || seconds(t.frozenFrom) < frozenAfter {
		return 0
	}

	return FlagFrozen
}

// quiet looks for the jitter that a receiver cannot help.
func (t *Track) quiet(x, y, metres, dt float64) (f Flags) {
	off := math.Hypot(x-float64(t.vx)*dt, y-float64(t.vy)*dt)
	if t.hasDirection && metres > driving*dt && off < smoothError {
		if t.smooth = min(t.smooth+1, smoothAfter); t.smooth == smoothAfter {
			f |= FlagSmooth
		}
	} else {
		t.smooth -= min(t.smooth, 2)
	}

	t.vx, t.vy, t.hasDirection = float32(x/dt), float32(y/dt), true
	return f
}

// echo looks whether the last movements were made before, by this driver or
// another. Standing still and moving at one velocity are the same whenever they
// happen, and say nothing.
func (t *Track) echo(dLng, dLat float64, prints *Footprints) Flags {
	if prints == nil {
		return 0
	}
	east, north := int32(math.Round(dLng/stride)), int32(math.Round(dLat/stride))
	if max(east, -east)+max(north, -north) < 10 { // about a metre
		t.strides = 0
		return 0
	}

	copy(t.steps[:], t.steps[1:])
	t.steps[stretch-1] = uint32(mix(uint64(uint32(east))<<32|uint64(uint32(north))) >> 32)
	if t.strides = min(t.strides+1, stretch); t.strides < stretch {
		return 0
	}
	if a := t.steps; a[4] == a[3] || a[3] == a[2] || a[2] == a[1] {
		return 0
	}

	var hash uint64
	for _, s := range t.steps {
		hash = mix(hash ^ uint64(s))
	}
	if hash%oneIn != 0 {
		return 0
	}
	if !prints.seen(hash) {
		t.echoes -= min(t.echoes, 1)
		return 0
	}
	if t.echoes = min(t.echoes+echoHit, echoesEnough); t.echoes < echoesEnough {
		return 0
	}
	return FlagReplay
}

// mix is the finisher of SplitMix64 (G. Steele, D. Lea and C. Flood, Fast
// splittable pseudorandom number generators, OOPSLA 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
