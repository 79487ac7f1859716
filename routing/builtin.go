package routing

import (
	"math"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/internal/citygen"
)

// builtInCentre is where the generated city lies: on the Gulf of Guinea.
var builtInCentre = location.Point{Lng: 3.40, Lat: 6.45}

// builtInPlan converts a generated city from metres to degrees.
func builtInPlan(g *citygen.City) Plan {
	perDegree := location.EarthRadius * math.Pi / 180
	cos := math.Cos(builtInCentre.Lat * math.Pi / 180)
	at := func(p citygen.XY) location.Point {
		return location.Point{Lng: builtInCentre.Lng + p.X/(perDegree*cos), Lat: builtInCentre.Lat + p.Y/perDegree}
	}
	line := func(ps []citygen.XY) []location.Point {
		out := make([]location.Point, len(ps))
		for i, p := range ps {
			out[i] = at(p)
		}
		return out
	}

	plan := Plan{Name: g.Name}
	for _, r := range g.Roads {
		plan.Roads = append(plan.Roads, Road{
			Points: line(r.Line), Class: Class(r.Rank), Name: r.Name, OneWay: r.OneWay, Bridge: r.Bridge,
		})
	}

	for _, a := range g.Areas {
		area := Area{Kind: a.Kind, Name: a.Name}
		for _, ring := range a.Rings {
			area.Rings = append(area.Rings, line(ring))
		}
		plan.Areas = append(plan.Areas, area)
	}

	for _, p := range g.Districts {
		plan.Districts = append(plan.Districts, District{p.Name, at(p.XY)})
	}
	for _, p := range g.Hotspots {
		plan.Hotspots = append(plan.Hotspots, Hotspot{p.Name, at(p.XY), p.Weight})
	}
	return plan
}
