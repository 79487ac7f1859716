package location

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// honestCar returns the fixes of an honest car. It drives up to 40 m/s, turns,
// stops, and loses its signal for up to 15 s. Its receiver errs by a slowly
// wandering amount of up to some 30 m, as between tall buildings, and roughly
// reports the error.
func honestCar(rng *rand.Rand, start time.Time, n int) (fixes []Fix) {
	at, heading, speed := Point{3.38, 6.45}, rng.Float64()*360, 10*rng.Float64()
	var errX, errY float64
	now := start
	for seq := range uint32(n) {
		dt := 0.8 + 0.4*rng.Float64()
		if rng.IntN(100) == 0 {
			dt = 15 * rng.Float64()
		}

		now = now.Add(time.Duration(dt * float64(time.Second)))
		speed = min(40, max(0, speed+(rng.Float64()-.5)*6*min(dt, 3)))
		heading = math.Mod(heading+360+rng.NormFloat64()*20, 360)
		at = offsetBy(at, speed*dt, heading)
		errX, errY = .9*errX+4*rng.NormFloat64(), .9*errY+4*rng.NormFloat64()
		noisy := offsetBy(offsetBy(at, errX, 90), errY, 0)
		fixes = append(fixes, Fix{Point: noisy, Seq: seq, At: now, Heading: float32(heading), Speed: float32(speed),
			Accuracy: float32(5 + math.Hypot(errX, errY)/2)})
	}

	return fixes
}

func offsetBy(p Point, metres, degrees float64) Point {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	return Point{Lng: p.Lng + metres*sin/(111_320*math.Cos(p.Lat*math.Pi/180)), Lat: p.Lat + metres*cos/111_320}
}

// TestSpoofedTracesAreFlaggedAndHonestOnesAreNot measures how many spoofed
// fixes a FixFilter refuses. Run it with -v for the figures. A FixFilter sees
// motion alone: see docs/security.md for what that cannot tell.
func TestSpoofedTracesAreFlaggedAndHonestOnesAreNot(t *testing.T) {
	filter, start := DefaultFixFilter(), time.Unix(1_700_000_000, 0)
	rng := rand.New(rand.NewPCG(7, 7))
	checked, refused := 0, 0
	spoofs := map[string]func(last, fix Fix) Fix{
		"a jump of 1 to 30 km": func(_, fix Fix) Fix {
			fix.Point = offsetBy(fix.Point, 1000+29_000*rng.Float64(), 360*rng.Float64())
			return fix
		},
		"a drive at 400 to 1,000 m/s": func(last, fix Fix) Fix {
			fix.Point = offsetBy(last.Point, (400+600*rng.Float64())*fix.At.Sub(last.At).Seconds(), 360*rng.Float64())
			return fix
		},
		"a clock 11 s to an hour ahead": func(_, fix Fix) Fix {
			fix.At = fix.At.Add(11*time.Second + time.Duration(rng.Int64N(int64(time.Hour))))
			return fix
		},
		"an old trace sent again": func(last, fix Fix) Fix {
			fix.At = last.At.Add(-time.Duration(rng.Int64N(int64(time.Hour))))
			return fix
		},
	}

	tried, flagged := map[string]int{}, map[string]int{}
	for range 200 {
		fixes := honestCar(rng, start, 500)
		last, have := Fix{}, false
		for _, fix := range fixes {
			// Each fix is up to a second on its way.
			now := fix.At.Add(time.Duration(rng.Int64N(int64(time.Second))))
			if have {
				for name, spoof := range spoofs {
					tried[name]++
					if filter.Accept(last, true, spoof(last, fix), now) != Accepted {
						flagged[name]++
					}
				}
			}

			checked++
			if filter.Accept(last, have, fix, now) != Accepted {
				refused++
				continue
			}
			last, have = fix, true
		}
	}

	if share := float64(refused) / float64(checked); share > .001 {
		t.Errorf("%d of %d honest fixes were refused", refused, checked)
	}
	t.Logf("honest: %d of %d refused", refused, checked)

	for name := range spoofs {
		share := float64(flagged[name]) / float64(tried[name])
		if share < .95 {
			t.Errorf("%s: %.2f %% flagged", name, 100*share)
		}
		t.Logf("%s: %.2f %% of %d flagged", name, 100*share, tried[name])
	}
}
