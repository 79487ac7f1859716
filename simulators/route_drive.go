package simulators

import (
	"math"
	"math/rand/v2"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

// routeDrive is a route and how far a car has driven it.
type routeDrive struct {
	path        []location.Point
	speeds      []float64
	leg         int     // from path[leg] to path[leg+1]
	doneSeconds float64 // seconds into that leg
	leftSeconds float64 // seconds to the end
}

// offRoadSpeed is the speed on a straight line, in metres per second.
const offRoadSpeed = 8

// driveAlong returns a route of which nothing has been driven.
func driveAlong(r routing.Route) routeDrive {
	w := routeDrive{path: r.Path, speeds: r.Speeds}
	for i := range w.speeds {
		w.leftSeconds += w.legSeconds(i)
	}
	return w
}

// driveStraight returns a straight line. It lets a trip end at a place that no
// road reaches.
func driveStraight(from, to location.Point) routeDrive {
	return driveAlong(routing.Route{Path: []location.Point{from, to}, Speeds: []float64{offRoadSpeed}})
}

func (w *routeDrive) legSeconds(leg int) float64 {
	return location.MetresBetween(w.path[leg], w.path[leg+1]) / max(w.speeds[leg], 0.5)
}

// isOver reports whether the car has arrived, or has no route.
func (w *routeDrive) isOver() bool { return w.leg >= len(w.speeds) }

// driveFor drives for some seconds. It returns the car's position, its heading
// in degrees, and its speed in metres per second. The route must not be over.
func (w *routeDrive) driveFor(seconds float64) (at location.Point, heading, speed float64) {
	w.doneSeconds += seconds
	for !w.isOver() {
		a, b := w.path[w.leg], w.path[w.leg+1]
		need := w.legSeconds(w.leg)
		if w.doneSeconds < need {
			w.leftSeconds = w.remainingSeconds(need)
			f := w.doneSeconds / need
			at = location.Point{Lng: a.Lng + f*(b.Lng-a.Lng), Lat: a.Lat + f*(b.Lat-a.Lat)}
			return at, location.InitialBearing(a, b), w.speeds[w.leg]
		}

		w.doneSeconds -= need
		heading = location.InitialBearing(a, b)
		w.leg++
	}

	w.leftSeconds = 0
	return w.path[len(w.path)-1], heading, 0
}

// remainingSeconds returns the time to the end. need is the whole current
// leg's.
func (w *routeDrive) remainingSeconds(need float64) float64 {
	left := need - w.doneSeconds
	for i := w.leg + 1; i < len(w.speeds); i++ {
		left += w.legSeconds(i)
	}
	return left
}

// drift is the error of a phone's positions: a few metres that change slowly (a
// first-order autoregressive process).
type drift struct{ east, north float64 }

const (
	driftMetres  = 3.0
	driftKept    = 0.9 // of the error, from one fix to the next
	fixAccuracy  = 5   // metres, as the phone claims
	metresPerDeg = location.EarthRadius * math.Pi / 180
)

// applyTo moves a point by the error of the next fix.
func (d *drift) applyTo(p location.Point, r *rand.Rand) location.Point {
	fresh := driftMetres * math.Sqrt(1-driftKept*driftKept)
	d.east = driftKept*d.east + fresh*r.NormFloat64()
	d.north = driftKept*d.north + fresh*r.NormFloat64()
	cos := max(0.01, math.Cos(p.Lat*math.Pi/180))
	return location.Point{Lng: p.Lng + d.east/(metresPerDeg*cos), Lat: p.Lat + d.north/metresPerDeg}
}
