package location

import "math"

// checkWindow compares a window's movement with the speed limit of roads and
// with the speeds that the phone claimed.
func (t *Track) checkWindow(p place) (f Flags) {
	x, y, _, _ := t.displacementBetween(t.windowStart, p)
	chord, seconds := math.Sqrt(x*x+y*y), float64(t.windowSeconds)
	allowed := errorAllowance(t.windowStart, p)

	// Errors add little to the length of a fast drive, so consecutive windows
	// get no allowance.
	t.fastWindows = countRun(t.fastWindows, float64(max(t.movedMetres, t.claimedMetres)) > maxRoadSpeed*seconds)
	if t.fastWindows == windowThreshold || chord > maxRoadSpeed*seconds+allowed {
		f |= FlagSpeed
	}

	t.badAccelerations -= min(t.badAccelerations, 1)

	if float64(t.speedSeconds) < .8*seconds {
		// A speed of 0 may mean that the phone does not know its speed.
		t.idleWindows, t.busyWindows = 0, 0
		return f
	}
	said := float64(t.claimedMetres)
	t.busyWindows = countRun(t.busyWindows, said > drivingSpeed*seconds && chord > 1.8*said+allowed/2)

	// A slow receiver may lag behind for a while.
	t.idleWindows = countRun(t.idleWindows, said > 2*float64(t.movedMetres)+allowed)
	if chord > 1.3*said+allowed || max(t.busyWindows, t.idleWindows) == windowThreshold {
		f |= FlagContradiction
	}

	return f
}

// countRun extends a run of windows if is holds, and otherwise ends the run.
func countRun(n uint8, is bool) uint8 {
	if !is {
		return 0
	}
	return min(n+1, windowThreshold)
}

// checkAcceleration looks at changes of the phone's claimed speed. A receiver
// measures speed to some decimetres per second, independently of its position.
// Sports cars gain 6 m/s per second. Hard braking on a dry road takes 10.
func (t *Track) checkAcceleration(p place, dt float64) Flags {
	if t.lastPlace.speed == 0 && t.speedSeconds == 0 {
		return 0 // The phone may have learnt its speed only now.
	}
	gain := float64(p.speed - t.lastPlace.speed)
	if gain <= 6*dt+4 && gain >= -10*dt-4 || p.speed == 0 {
		return 0
	}
	if t.badAccelerations = min(t.badAccelerations+1, accelerationThreshold); t.badAccelerations < accelerationThreshold {
		return 0
	}
	return FlagAcceleration
}

// checkFrozen takes a fix that repeats the last one to the last digit. A phone
// that lost its satellites does that for a while, and a parked one does it for
// long. A driving phone does not.
func (t *Track) checkFrozen(p place, pace float64) Flags {
	t.smoothRun, t.stepCount, t.hasVelocity = 0, 0, false
	seconds := func(since int64) float64 { return float64(p.atNanos-since) / 1e9 * pace }
	if seconds(t.lastPlace.atNanos) > maxRepeatSeconds {
		t.lastPlace.atNanos = p.atNanos - int64(maxRepeatSeconds*1e9/pace)
	}
	if p.speed <= drivingSpeed {
		t.frozenRun = 0
		return 0
	}
	if t.frozenRun == 0 {
		t.frozenSince = p.atNanos
	}
	if t.frozenRun = min(t.frozenRun+1, frozenMinFixes); t.frozenRun < frozenMinFixes || seconds(t.frozenSince) < frozenMinSeconds {
		return 0
	}

	return FlagFrozen
}

// checkSmooth looks for movement without the jitter that every receiver has.
func (t *Track) checkSmooth(x, y, metres, dt float64) (f Flags) {
	off := math.Hypot(x-float64(t.velocityEast)*dt, y-float64(t.velocityNorth)*dt)
	if t.hasVelocity && metres > drivingSpeed*dt && off < smoothMaxError {
		if t.smoothRun = min(t.smoothRun+1, smoothMinSteps); t.smoothRun == smoothMinSteps {
			f |= FlagSmooth
		}
	} else {
		t.smoothRun -= min(t.smoothRun, 2)
	}

	t.velocityEast, t.velocityNorth, t.hasVelocity = float32(x/dt), float32(y/dt), true
	return f
}

// checkReplay looks up whether this driver or another made the last movements
// before. It skips standing still and moving at constant velocity, which look
// the same in every drive.
func (t *Track) checkReplay(dLng, dLat float64, prints *DriveFingerprints) Flags {
	if prints == nil {
		return 0
	}
	east, north := int32(math.Round(dLng/stepGridDegrees)), int32(math.Round(dLat/stepGridDegrees))
	if max(east, -east)+max(north, -north) < 10 { // About a metre.
		t.stepCount = 0
		return 0
	}

	copy(t.recentSteps[:], t.recentSteps[1:])
	t.recentSteps[stretchSteps-1] = uint32(splitMix64(uint64(uint32(east))<<32|uint64(uint32(north))) >> 32)
	if t.stepCount = min(t.stepCount+1, stretchSteps); t.stepCount < stretchSteps {
		return 0
	}
	if a := t.recentSteps; a[4] == a[3] || a[3] == a[2] || a[2] == a[1] {
		return 0
	}

	var hash uint64
	for _, s := range t.recentSteps {
		hash = splitMix64(hash ^ uint64(s))
	}
	if hash%sampleModulus != 0 {
		return 0
	}
	if !prints.recordAndCheck(hash) {
		t.replayScore -= min(t.replayScore, 1)
		return 0
	}
	if t.replayScore = min(t.replayScore+replayHit, replayThreshold); t.replayScore < replayThreshold {
		return 0
	}
	return FlagReplay
}

// splitMix64 is the output function of SplitMix64 (G. Steele, D. Lea and C.
// Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
func splitMix64(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
