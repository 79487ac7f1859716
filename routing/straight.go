package routing

import (
	"time"

	"github.com/ridehail/ridehail/location"
)

// What the straight line stands for when roads are not known. Both are medians over random pairs in the built-in
// city, held to by TestTheStraightLineIsCalibratedOnTheBuiltInCity.
const (
	StraightFactor = 1.4  // metres by road for each metre by air
	StraightSpeed  = 15.5 // metres per second by road
)

func straightRoute(from, to location.Point) Route {
	air := location.Metres(from, to)
	return Route{
		Path:     []location.Point{from, to},
		Speeds:   []float64{StraightSpeed / StraightFactor}, // so that a car on the line arrives when Duration says
		Metres:   air * StraightFactor,
		Duration: straightTime(air),
		Source:   SourceStraight,
	}
}

func straightMatrix(from, to []location.Point) [][]time.Duration {
	rows := make([][]time.Duration, len(from))
	for i, a := range from {
		rows[i] = make([]time.Duration, len(to))
		for j, b := range to {
			rows[i][j] = straightTime(location.Metres(a, b))
		}
	}
	return rows
}

func straightTime(air float64) time.Duration {
	return time.Duration(air * StraightFactor / StraightSpeed * float64(time.Second)).Truncate(time.Millisecond)
}
