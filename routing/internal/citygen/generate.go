// Package citygen makes a city up: a mainland, islands and few bridges, in metres east and north of its middle. The same
// seed gives the same city.
package citygen

import (
	"math/rand/v2"
)

// Generate makes the city of a seed.
func Generate(seed uint64) *City {
	r := rand.New(rand.NewPCG(seed, 0x1a9005))
	g := newGround(r)
	quarters := newQuarters(g, r, 1650)
	t := newTracer(g, newGrain(g, quarters))
	for _, l := range expressways(r) {
		t.lay(l)
	}
	g.parks = newParks(t, r)
	t.spines()
	t.fill(r, arterial, func(XY) float64 { return 880 }, 700, 20000)
	nameArterials(t.lines, r)
	t.fill(r, street, t.grain.gap.at, 170, 4000)
	for i := range t.lines {
		if l := &t.lines[i]; l.rank == street && r.Float64() < 0.13 {
			l.oneWay = true
		}
	}
	n := newNetwork(t.lines)
	n.thin(r, noise(r.Uint64()))
	n.settle(g)
	c := &City{Name: "Ilagun", Areas: landAreas(coastline(g.shore)), Roads: n.roads(t.lines, g)}
	for _, k := range g.parks {
		c.Areas = append(c.Areas, Area{Kind: "park", Name: k.name, Rings: [][]XY{k.ring()}})
	}
	c.Areas = append(c.Areas, waters(g)...)
	c.Districts = nameDistricts(c, quarters, r)
	c.Hotspots = hotspots(c, r)
	return c
}
