package routing

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Straight estimates routes from straight lines where the roads are not known.
// Its values are medians over random pairs of points.
type Straight struct {
	Factor float64 `json:"factor"` // metres by road for each metre by air
	Speed  float64 `json:"speed"`  // metres per second by road
}

// BuiltInStraight holds the values of the generated city, for a client that has
// no others. TestTheStraightLineIsCalibratedOnTheBuiltInCity checks it.
var BuiltInStraight = Straight{Factor: 1.4, Speed: 15.5}

func (s Straight) validate() error {
	if s == (Straight{}) || s.Factor >= 1 && s.Factor <= 100 && s.Speed >= minSpeed && s.Speed <= maxSpeed {
		return nil
	}
	return errors.New("its factor for straight lines cannot be true")
}

const (
	straightPairs   = 400
	straightNearest = 500 // metres by air; shorter ways say little
)

// measureStraight returns the medians over pairs of points drawn with a fixed
// seed. A city that is too small for a single pair gets BuiltInStraight.
func measureStraight(c *City) Straight {
	r, router := rand.New(rand.NewPCG(1, 1)), NewRouter(c)
	nearest := min(straightNearest, location.MetresBetween(c.min, c.max)/4)
	var factors, speeds []float64
	for range straightPairs {
		from, to := c.RandomPoint(r), c.RandomPoint(r)
		air := location.MetresBetween(from, to)
		if air < nearest {
			continue
		}

		way, err := router.Route(context.Background(), from, to)
		if err != nil || way.Duration <= 0 {
			continue
		}
		factors = append(factors, way.Metres/air)
		speeds = append(speeds, way.Metres/way.Duration.Seconds())
	}

	if len(factors) == 0 {
		return BuiltInStraight
	}

	return Straight{
		Factor: max(1, min(100, roundThousandth(computeMedian(factors)))), Speed: max(minSpeed, min(maxSpeed, roundThousandth(computeMedian(speeds)))),
	}
}

func computeMedian(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// roundThousandth keeps three digits after the point; the medians are not more
// exact.
func roundThousandth(v float64) float64 { return math.Round(v*1000) / 1000 }

func (s Straight) estimateRoute(from, to location.Point) Route {
	air := location.MetresBetween(from, to)
	return Route{
		Path: []location.Point{from, to},
		// so that a car on the line arrives when Duration says
		Speeds:   []float64{s.Speed / s.Factor},
		Metres:   air * s.Factor,
		Duration: s.estimateTime(air),
		Source:   SourceStraight,
	}
}

func (s Straight) estimateMatrix(from, to []location.Point) [][]time.Duration {
	rows := make([][]time.Duration, len(from))
	for i, a := range from {
		rows[i] = make([]time.Duration, len(to))
		for j, b := range to {
			rows[i][j] = s.estimateTime(location.MetresBetween(a, b))
		}
	}
	return rows
}

func (s Straight) estimateTime(air float64) time.Duration {
	return time.Duration(air * s.Factor / s.Speed * float64(time.Second)).Truncate(time.Millisecond)
}
