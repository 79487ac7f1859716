package location_test

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

// Honest traces: cars on the roads of our city, seen through phones that err.
// How much they err is taken from F. van Diggelen and P. Enge, The World's
// first GPS MOOC and Worldwide Laboratory using Smartphones, ION GNSS+ 2015
// (4.9 m under an open sky) and P. Zandbergen and S. Barbeau, Positional
// Accuracy of Assisted GPS Data from High-Sensitivity GPS-enabled Mobile
// Phones, J. Navigation 64, 2011 (medians of 5 to 8.5 m outdoors, tens of
// metres at worst). What follows is harsher than either wherever no source says
// how harsh the worst is: streets between high buildings where fixes are off by
// 20 m as a rule and by 50 to 150 m for some seconds, while the phone is up to
// three times too sure of itself; tunnels; positions of radio masts; phones
// that never know their speed.

// carState is where a car truly is.
type carState struct {
	location.Point
	heading, speed float64
}

// testDrives are drives along the roads of the city. Each is a chain of the
// router's fastest routes. Many traces share them, as many cars share a road.
var testDrives = sync.OnceValue(func() (all []*drive) {
	city, err := routing.Open("")
	if err != nil {
		panic(err) // The city is built in.
	}

	router, rng := routing.NewRouter(city), rand.New(rand.NewPCG(11, 11))
	for len(all) < 150 {
		var chain routing.Route
		at := city.RandomPoint(rng)
		for chain.Metres < 15_000 {
			to := city.RandomPoint(rng)
			leg, err := router.Route(context.Background(), at, to)
			if err != nil {
				continue
			}
			chain.Path = append(chain.Path, leg.Path...)

			// The car stops between two routes.
			chain.Speeds = append(append(chain.Speeds, leg.Speeds...), 1)
			chain.Metres += leg.Metres
			at = to
		}

		chain.Speeds = chain.Speeds[:len(chain.Path)-1]
		w := &drive{Route: chain}
		for i := range chain.Speeds {
			w.metres = append(w.metres, location.MetresBetween(chain.Path[i], chain.Path[i+1]))
			w.bearings, w.turns = append(w.bearings, location.InitialBearing(chain.Path[i], chain.Path[i+1])), append(w.turns, 0)
			if i > 0 {
				d := math.Abs(w.bearings[i] - w.bearings[i-1])
				w.turns[i] = min(d, 360-d)
			}
		}

		all = append(all, w)
	}
	return all
})

// drive is a route with, for each segment, its length in metres, its bearing,
// and by how many degrees the road turns at its start.
type drive struct {
	routing.Route
	metres, bearings, turns []float64
}

// simulateDrive returns where a car is at each fifth of a second. It keeps to
// the roads' speeds times haste, gains at most 3 m/s per second, brakes with 5,
// slows down for corners, and stops now and then. It sees speed limits 100 m
// ahead.
func simulateDrive(rng *rand.Rand, way *drive, haste, seconds float64) (all []carState) {
	leg, into, speed, stand := rng.IntN(len(way.Speeds)/2), 0.0, 0.0, 0.0
	wanted := func(i int) float64 {
		v := way.Speeds[i] * haste
		if way.turns[i] > 40 {
			v = min(v, 8)
		}
		return max(1, v)
	}

	for len(all) < int(seconds*5) {
		a, b := way.Path[leg], way.Path[leg+1]
		length := way.metres[leg]
		target := way.Speeds[leg] * haste
		for ahead, i := length-into, leg+1; ahead < 100 && i < len(way.Speeds); i++ {
			target = min(target, math.Sqrt(wanted(i)*wanted(i)+2*5*max(0, ahead)))
			ahead += way.metres[i]
		}

		switch {
		case stand > 0:
			stand -= .2
			target = 0
		case rng.IntN(450) == 0: // A traffic light, a queue or a passenger.
			stand = 5 + 60*rng.Float64()
		}

		speed = min(speed+.6*(.5+.5*rng.Float64()), max(target, speed-1))
		for into += speed * .2; into >= length; {
			into -= length
			if leg++; leg >= len(way.Speeds) {
				return all
			}
			a, b = way.Path[leg], way.Path[leg+1]
			length = way.metres[leg]
		}

		f := into / max(length, 1e-9)
		all = append(all, carState{location.Point{Lng: a.Lng + f*(b.Lng-a.Lng), Lat: a.Lat + f*(b.Lat-a.Lat)}, way.bearings[leg], speed})
	}
	return all
}

// skyView is how much of the sky a phone sees, which decides how it errs.
type skyView int

const (
	openSky         skyView = iota
	streetCanyon            // Between tall buildings.
	tunnelSilent            // The phone sends nothing.
	tunnelGuessing          // It extrapolates its last movement.
	tunnelRepeating         // It repeats its last position for a while.
	radioMasts              // Positions of masts and networks, without a speed.
	parkedCar
	parkedFrozen // Parked, and the phone holds the position still.
)

// phone turns a car's true state into fixes with a phone's errors.
type phone struct {
	*rand.Rand
	hidesSpeed      bool // It never knows its speed.
	east, north     float64
	reflection      location.Point // Offset in metres.
	reflectionFixes int            // How many more fixes are reflected.
	last            location.Fix
	driftMetres     float64 // By how much a tunnel has led it astray.
	driftAngle      float64 // Radians.
}

// readFix returns the phone's fix of a car, dt seconds after the last one. It
// returns false when the phone sends nothing.
func (p *phone) readFix(m carState, s skyView, dt float64) (fix location.Fix, ok bool) {
	wander := func(sigma, tau float64) {
		keep := math.Exp(-dt / tau)
		fresh := sigma * math.Sqrt(1-keep*keep)
		p.east, p.north = keep*p.east+fresh*p.NormFloat64(), keep*p.north+fresh*p.NormFloat64()
	}

	fix = location.Fix{Heading: float32(m.heading), Speed: float32(max(0, m.speed+.3*p.NormFloat64()))}
	if m.speed < .5 {
		fix.Speed = 0
	}

	x, y, sure := 0.0, 0.0, 3+5*p.Float64()
	switch s {
	case openSky:
		wander(3, 30)
	case streetCanyon:
		wander(20, 15)
		if p.reflectionFixes--; p.reflectionFixes < 0 && p.IntN(15) == 0 {
			angle, far := 2*math.Pi*p.Float64(), 50+100*p.Float64()
			p.reflection, p.reflectionFixes = location.Point{Lng: far * math.Cos(angle), Lat: far * math.Sin(angle)}, int((3+12*p.Float64())/dt)
		}
		if p.reflectionFixes >= 0 {
			x, y = p.reflection.Lng, p.reflection.Lat
		}
		sure = max(8, math.Hypot(p.east+x, p.north+y)/(1+2*p.Float64()))
		fix.Speed = float32(max(0, float64(fix.Speed)+p.NormFloat64()))
	case tunnelSilent:
		return fix, false
	case tunnelGuessing:
		p.driftMetres += m.speed * dt * .1
		x, y = p.driftMetres*math.Sin(p.driftAngle), p.driftMetres*math.Cos(p.driftAngle)
		sure = 10 + p.driftMetres
	case tunnelRepeating:
		if p.driftMetres += dt; p.driftMetres > 25 {
			return fix, false
		}
		return p.last, !p.last.At.IsZero()
	case radioMasts:
		wander(60, 10)
		sure, fix.Speed = 40+110*p.Float64(), 0
	case parkedCar:
		wander(5, 60)
		fix.Speed = 0
		if p.IntN(40) == 0 {
			fix.Speed = float32(p.Float64()) // As a phone in a hand does.
		}
	case parkedFrozen:
		if !p.last.At.IsZero() {
			fix = p.last
			fix.Speed = 0
			return fix, true
		}
	}

	fix.Point = offsetByMetres(m.Point, p.east+x+.3*p.NormFloat64(), p.north+y+.3*p.NormFloat64())
	fix.Accuracy = float32(math.Round(sure*100) / 100)
	if p.hidesSpeed {
		fix.Speed, fix.Heading = 0, 0
	}
	return fix, true
}

// offsetByMetres moves a point and rounds it as phones do.
func offsetByMetres(p location.Point, east, north float64) location.Point {
	const perDegree = location.EarthRadius * math.Pi / 180
	round := func(v float64) float64 { return math.Round(v*1e7) / 1e7 }
	return location.Point{Lng: round(p.Lng + east/(perDegree*math.Cos(p.Lat*math.Pi/180))), Lat: round(p.Lat + north/perDegree)}
}

// receivedFix is a fix and when the node received it.
type receivedFix struct {
	location.Fix
	receivedAt time.Time
}

var traceStart = time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC)

// honestTrace returns the trace of one driver's phone over 15 minutes. Half of
// the phones send a fix each second, the others every five seconds. A harsh
// trace passes through all views of the sky. The others stay under an open sky.
func honestTrace(rng *rand.Rand, harsh bool) (fixes []receivedFix) {
	every := 1.0
	if rng.IntN(2) == 0 {
		every = 5
	}

	haste := .6 + .8*rng.Float64()
	if rng.IntN(10) == 0 {
		haste = 2 // 160 km/h on motorways.
	}

	truth := simulateDrive(rng, testDrives()[rng.IntN(len(testDrives()))], haste, 900)
	p := &phone{Rand: rng, hidesSpeed: harsh && rng.IntN(10) == 0}

	// The phone's clock is wrong by up to 5 s.
	clock := time.Duration(10*(rng.Float64()-.5)*1e9) * time.Nanosecond
	lag := time.Duration(rng.Float64() * 3e9)
	s, until := openSky, 60+rng.Float64()*120
	if harsh && rng.IntN(3) == 0 {
		s, until = radioMasts, 5 // Before the phone finds the satellites.
	}

	stood := 0 // Fifths of a second that the car has been parked.
	for at, before := rng.Float64()*every, 0.0; ; {
		i := int(at*5) - stood
		if i >= len(truth) || at > 1200 {
			return fixes
		}
		if m := truth[i]; rng.IntN(100) > 0 { // One fix in a hundred is lost.
			if s == parkedCar || s == parkedFrozen {
				m.speed = 0
			}
			if fix, ok := p.readFix(m, s, at-before); ok {
				sent := traceStart.Add(time.Duration(at * 1e9))
				fix.Seq, fix.At = uint32(len(fixes)), sent.Add(clock)
				p.last = fix
				fixes = append(fixes, receivedFix{fix, sent.Add(lag)})
			}
		}

		before = at
		at += every * (.9 + .2*rng.Float64())
		if s == parkedCar || s == parkedFrozen {
			stood += int(at*5) - int(before*5)
		}
		if harsh && at > until {
			s, until = nextView(p, s, at)
		}
	}
}

// nextView draws the sky that follows s, and until when it lasts.
func nextView(p *phone, s skyView, at float64) (skyView, float64) {
	p.driftMetres, p.driftAngle, p.reflectionFixes = 0, 2*math.Pi*p.Float64(), -1
	if s != openSky {
		return openSky, at + 30 + 150*p.Float64()
	}
	s = skyView(1 + p.IntN(int(parkedFrozen)))
	return s, at + map[skyView]float64{streetCanyon: 180, tunnelSilent: 120, tunnelGuessing: 90, tunnelRepeating: 90, radioMasts: 40, parkedCar: 300, parkedFrozen: 300}[s]*(.2+.8*p.Float64())
}

// filterTrace feeds a trace to a FixFilter and a Track, as a node does. It
// returns the flags that were raised and how many fixes were refused.
func filterTrace(fixes []receivedFix, prints *location.DriveFingerprints) (flags location.Flags, refused int) {
	filter := location.DefaultFixFilter()
	var track location.Track
	var last location.Fix
	for i, c := range fixes {
		why := filter.Accept(last, !last.At.IsZero(), c.Fix, c.receivedAt)
		if why == location.Accepted {
			last = c.Fix
		} else {
			refused++
		}

		flags |= track.ObserveFix(&fixes[i].Fix, why, c.receivedAt, 1, prints)
	}

	return flags, refused
}

func TestATrackIsSmall(t *testing.T) {
	if size := location.TrackSize; size > 256 {
		t.Errorf("a track takes %d bytes", size)
	}
}
