package routing

import (
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
)

// errImplausible says that an answer cannot be true for any roads.
var errImplausible = errors.New("the routing service's answer cannot be true")

const (
	longestTime = 7 * 24 * time.Hour
	longestWay  = 5e6 // metres
)

func implausible(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errImplausible, fmt.Errorf(format, args...))
}

func readRoute(res *routingpb.RouteResponse, from, to location.Point) (Route, error) {
	way := Route{Metres: res.GetMetres(), Source: SourceRoad}
	for _, p := range res.GetPath() {
		at, err := readPoint(p)
		if err != nil {
			return Route{}, err
		}
		way.Path = append(way.Path, at)
	}

	for _, v := range res.GetSpeeds() {
		way.Speeds = append(way.Speeds, float64(v))
	}

	return checkRoute(way, res.GetDurationMs(), from, to)
}

// checkRoute returns the route with its duration if a car could drive it from
// one place to the other.
func checkRoute(way Route, ms int64, from, to location.Point) (Route, error) {
	if len(way.Path) < 2 || len(way.Speeds) != len(way.Path)-1 {
		return Route{}, implausible("%d points and %d speeds", len(way.Path), len(way.Speeds))
	}

	for _, v := range way.Speeds {
		if !(v > 0 && v <= maxSpeed) {
			return Route{}, implausible("a speed of %g m/s", v)
		}
	}

	first, last := way.Path[0], way.Path[len(way.Path)-1]
	if location.MetresBetween(first, from) > snapRadius+tolerance || location.MetresBetween(last, to) > snapRadius+tolerance {
		return Route{}, implausible("a way from %v to %v instead of from %v to %v", first, last, from, to)
	}

	air := location.MetresBetween(first, last)
	if !(way.Metres >= air-tolerance && way.Metres <= longestWay) {
		return Route{}, implausible("%g metres by road for %.0f by air", way.Metres, air)
	}

	var err error
	way.Duration, err = readTime(ms, air)
	return way, err
}

// tolerance is for rounding errors, in metres.
const tolerance = 10

func readMatrix(res *routingpb.MatrixResponse, from, to []location.Point) ([][]time.Duration, error) {
	all := res.GetDurationsMs()
	if len(all) != len(from)*len(to) {
		return nil, implausible("%d times for %d places times %d", len(all), len(from), len(to))
	}

	rows := make([][]time.Duration, len(from))
	for i := range from {
		rows[i] = make([]time.Duration, len(to))
		for j := range to {
			var err error
			if rows[i][j], err = readTime(all[i*len(to)+j], location.MetresBetween(from[i], to[j])-2*snapRadius); err != nil {
				return nil, err
			}
		}
	}

	return rows, nil
}

// readTime accepts a time in which a car at top speed could cover the distance
// by air.
func readTime(ms int64, air float64) (time.Duration, error) {
	if ms < 0 || ms > longestTime.Milliseconds() || float64(ms)/1000 < (air-tolerance)/maxSpeed {
		return 0, implausible("%d ms for %.0f metres by air", ms, air)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func readSnap(res *routingpb.SnapResponse, p location.Point) (location.Point, float64, error) {
	at, err := readPoint(res.GetPoint())
	if err != nil {
		return location.Point{}, 0, err
	}
	return checkSnap(p, at, res.GetMetres())
}

func checkSnap(p, at location.Point, said float64) (location.Point, float64, error) {
	metres := location.MetresBetween(p, at)
	if metres > snapRadius+tolerance || !(said >= metres-tolerance && said <= metres+tolerance) {
		return location.Point{}, 0, implausible("snapped over %.0f metres, said to be %g", metres, said)
	}
	return at, metres, nil
}

func readPoint(p *routingpb.Point) (location.Point, error) {
	at := location.Point{Lng: p.GetLng(), Lat: p.GetLat()}
	if p == nil {
		return at, implausible("a point is missing")
	}
	if err := at.CheckRange(); err != nil {
		return at, implausible("%w", err)
	}
	return at, nil
}
