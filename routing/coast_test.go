package routing

import (
	"math"
	"testing"

	"github.com/ridehail/ridehail/location"
)

func TestOnlyBridgesAreOverWater(t *testing.T) {
	for seed := 1; seed <= 2; seed++ {
		c := builtInCities[seed]()
		shores := shoresOf(c)
		wet, dry := 0.0, 0.0
		for i := range c.graph.edges {
			e := &c.graph.edges[i]
			steps := int(e.length()/25) + 1
			for k := range steps + 1 {
				p := e.pointAt(float64(k) / float64(steps))
				switch onLand := shores.onLand(p); {
				case !onLand && !e.bridge:
					t.Fatalf("seed %d: %s %q is in the water at %v", seed, e.class, e.name, p)
				case onLand && e.bridge:
					dry++
				case e.bridge:
					wet++
				}
			}
		}

		for _, a := range c.plan.Areas {
			if a.Kind == Water && shores.onLand(a.Rings[0][0]) {
				t.Errorf("seed %d: %s is on land", seed, a.Name)
			}
		}

		if dry > wet/8 {
			t.Errorf("seed %d: %.0f of %.0f places on bridges are on land", seed, dry, wet+dry)
		}
	}
}

// shores are the stretches of shore as they are drawn, by rows of latitude.
type shores map[int][][2]location.Point

func shoresOf(c *City) shores {
	s := shores{}
	for _, a := range c.plan.Areas {
		for _, ring := range a.Rings {
			for i := range len(ring) - 1 {
				p, q := ring[i], ring[i+1]
				if a.Kind == Land {
					for r := row(min(p.Lat, q.Lat)); r <= row(max(p.Lat, q.Lat)); r++ {
						s[r] = append(s[r], [2]location.Point{p, q})
					}
				}
			}
		}
	}
	return s
}

func row(lat float64) int { return int(math.Floor(lat * 500)) }

// onLand counts the shores to the west of p: an odd number means land.
func (s shores) onLand(p location.Point) bool {
	in := false
	for _, l := range s[row(p.Lat)] {
		q, r := l[0], l[1]
		if (q.Lat > p.Lat) != (r.Lat > p.Lat) && p.Lng < q.Lng+(r.Lng-q.Lng)*(p.Lat-q.Lat)/(r.Lat-q.Lat) {
			in = !in
		}
	}
	return in
}
