package simulators

import (
	"math"
	"math/rand/v2"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

// routeDrive is a route that is being driven.
type routeDrive struct {
	path        []location.Point
	speeds      []float64
	leg         int     // the car is between path[leg] and path[leg+1]
	doneSeconds float64 // seconds into that leg
	leftSeconds float64 // seconds to the end
}

// offRoadSpeed is the speed on a way without roads, in metres per second.
const offRoadSpeed = 8

// driveAlong begins to drive a route.
func driveAlong(r routing.Route) routeDrive {
	w := routeDrive{path: r.Path, speeds: r.Speeds}
	for i := range w.speeds {
		w.leftSeconds += w.legSeconds(i)
	}
	return w
}

// driveStraight is the way of a car that must get there although no road leads
// there: a trip has to end.
func driveStraight(from, to location.Point) routeDrive {
	return driveAlong(routing.Route{Path: []location.Point{from, to}, Speeds: []float64{offRoadSpeed}})
}

func (w *routeDrive) legSeconds(leg int) float64 {
	return location.MetresBetween(w.path[leg], w.path[leg+1]) / max(w.speeds[leg], 0.5)
}

// isOver says that the car has arrived, or has no way at all.
func (w *routeDrive) isOver() bool { return w.leg >= len(w.speeds) }

// driveFor drives for some seconds and returns where the car is, where it heads
// and how fast it goes, in metres per second. A way that is over must not be
// driven.
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

// remainingSeconds is the time from here to the end.
func (w *routeDrive) remainingSeconds(need float64) float64 {
	left := need - w.doneSeconds
	for i := w.leg + 1; i < len(w.speeds); i++ {
		left += w.legSeconds(i)
	}
	return left
}

// drift is the error of a phone's positions: some metres that change slowly, as
// reflections and satellites do.
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
