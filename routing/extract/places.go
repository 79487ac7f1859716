package extract

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

// poi is a place that attracts rides: a station, a hotel, a café.
type poi struct {
	name string
	location.Point
	draw float64
}

const (
	maxHotspots = 40
	// the most metres from a hot spot to a point of a road
	nearRoad = 300
)

// findHotspots groups the places by H3 cell, some 300 m across. A cell's hot
// spot has the name and the point of the place that attracts most; a mean point
// could lie in a lake.
func findHotspots(pois []poi, roads []routing.Road) []routing.Hotspot {
	type cluster struct {
		best poi
		sum  float64
	}
	cells := make(map[location.Cell]*cluster)
	var order []location.Cell
	for _, p := range pois {
		cell, err := location.CellOf(p.Point)
		if err != nil {
			continue
		}

		c := cells[cell]
		if c == nil {
			c = &cluster{}
			cells[cell] = c
			order = append(order, cell)
		}

		c.sum += p.draw
		if p.draw > c.best.draw || p.draw == c.best.draw && c.best.name == "" {
			c.best = p
		}
	}

	slices.SortFunc(order, func(a, b location.Cell) int {
		return cmp.Or(cmp.Compare(cells[b].sum, cells[a].sum), cmp.Compare(a, b))
	})
	var out []routing.Hotspot
	for _, cell := range order {
		if c := cells[cell]; isNearRoad(c.best.Point, roads) {
			name := cmp.Or(c.best.name, fmt.Sprintf("place %d", len(out)+1))
			if out = append(out, routing.Hotspot{Name: name, Point: c.best.Point, Weight: c.sum}); len(out) == maxHotspots {
				break
			}
		}
	}
	return out
}

func isNearRoad(p location.Point, roads []routing.Road) bool {
	for i := range roads {
		for _, q := range roads[i].Points {
			if math.Abs(p.Lat-q.Lat) < 0.003 && location.MetresBetween(p, q) < nearRoad {
				return true
			}
		}
	}
	return false
}
