package simulation

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
)

// rideDemand is a person who will want a ride. All are drawn before the
// simulation begins, so that every policy meets the same people.
type rideDemand struct {
	at       time.Duration // from the beginning
	from, to location.Point
	patience time.Duration      // from the request until the car must be there
	maxPrice pricing.Multiplier // who is asked for more walks away
}

// hourlyDemand is the number of people who want a ride in each hour of the day,
// relative to the mean: a city that goes to work in the morning and home in the
// evening.
var hourlyDemand = [24]float64{.5, .35, .25, .2, .3, .6, 1.1, 1.7, 1.8, 1.3, 1.0, 1.0, 1.1, 1.0, 1.0, 1.1, 1.4, 1.8, 1.9, 1.6, 1.3, 1.1, .9, .7}

// inboundShare is the share of an hour's rides that lead to a hot spot; the
// others lead away from one.
func inboundShare(hour int) float64 {
	switch {
	case hour >= 6 && hour < 11:
		return .8
	case hour >= 16 && hour < 22:
		return .2
	}
	return .5
}

// drawDemands draws all demand of a run by thinning a Poisson process (P.
// Lewis, G. Shedler, Simulation of Nonhomogeneous Poisson Processes by
// Thinning, Naval Research Logistics 26, 1979).
func drawDemands(cfg Config, m *places) []rideDemand {
	r := rand.New(rand.NewPCG(cfg.Seed, 0x64656d616e64))
	most := 0.0
	for _, b := range hourlyDemand {
		most = max(most, b)
	}

	var out []rideDemand
	for at := time.Duration(0); ; {
		at += time.Duration(r.ExpFloat64() / (cfg.RidersPerHour * most) * float64(time.Hour))
		if at >= cfg.duration() {
			return out
		}

		hour := cfg.hourOfDay(at)
		if r.Float64()*most >= hourlyDemand[hour] {
			continue
		}

		w := rideDemand{at: at, patience: 5*time.Minute + time.Duration(r.Float64()*float64(10*time.Minute))}
		w.maxPrice = pricing.NoSurge + pricing.Multiplier(min(30, r.ExpFloat64()*12))
		w.from, w.to = m.drawEnds(r, inboundShare(hour))
		out = append(out, w)
	}
}

// places draws points where people are.
type places struct {
	router      *routing.Router
	city        *routing.City
	hotspots    []routing.Hotspot
	totalWeight float64
}

func newPlaces(router *routing.Router) *places {
	m := &places{router: router, city: router.City(), hotspots: router.City().Hotspots()}
	for _, s := range m.hotspots {
		m.totalWeight += s.Weight
	}
	return m
}

const (
	spotShare    = .7 // of rides have an end at a hot spot
	shortestRide = 600
)

// drawEnds draws pickup and dropoff. A ride shorter than shortestRide is drawn
// again.
func (m *places) drawEnds(r *rand.Rand, inbound float64) (from, to location.Point) {
	for range 100 {
		from, to = m.city.RandomPoint(r), m.city.RandomPoint(r)
		if r.Float64() < spotShare {
			if spot := m.drawHotspotPoint(r); r.Float64() < inbound {
				to = spot
			} else {
				from = spot
			}
		}

		if location.MetresBetween(from, to) > shortestRide {
			break
		}
	}
	return from, to
}

// drawHotspotPoint draws a point on a road near a hot spot. A hot spot's chance
// is proportional to its weight.
func (m *places) drawHotspotPoint(r *rand.Rand) location.Point {
	at := r.Float64() * m.totalWeight
	for _, s := range m.hotspots {
		if at -= s.Weight; at < 0 {
			return m.drawPointNear(r, s.Point, 400)
		}
	}
	return m.city.RandomPoint(r)
}

func (m *places) drawPointNear(r *rand.Rand, p location.Point, metres float64) location.Point {
	const perDegree = location.EarthRadius * math.Pi / 180
	p.Lng += r.NormFloat64() * metres / (perDegree * math.Cos(p.Lat*math.Pi/180))
	p.Lat += r.NormFloat64() * metres / perDegree
	if on, _, err := m.router.Snap(p); err == nil {
		return on
	}
	return m.city.RandomPoint(r)
}
