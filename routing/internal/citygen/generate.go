// Package citygen generates a city: a mainland, islands and few bridges, in
// metres east and north of its middle. The same seed gives the same city.
package citygen

import (
	"math/rand/v2"
)

// Generate returns the city of a seed.
func Generate(seed uint64) *City {
	r := rand.New(rand.NewPCG(seed, 0x1a9005))
	g := newTerrain(r)
	quarters := placeDistricts(g, r, 1650)
	t := newTracer(g, newStreetGrain(g, quarters))
	for _, l := range planExpressways(r) {
		t.addRoad(l)
	}
	g.parks = placeParks(t, r)
	t.addHighStreets()
	t.fillWithRoads(r, arterial, func(XY) float64 { return 880 }, 700, 20000)
	nameArterials(t.lines, r)
	t.fillWithRoads(r, street, t.grain.gap.valueAt, 170, 4000)

	for i := range t.lines {
		if l := &t.lines[i]; l.rank == street && r.Float64() < 0.13 {
			l.oneWay = true
		}
	}

	n := newNetwork(t.lines)
	n.removeStubs(r, noise(r.Uint64()))
	n.demoteShortArterials(g)
	c := &City{Name: "Ilagun", Areas: buildLandAreas(traceCoastline(g.depthAt)), Roads: n.buildRoads(t.lines, g)}
	for _, k := range g.parks {
		c.Areas = append(c.Areas, Area{Kind: "park", Name: k.name, Rings: [][]XY{k.drawOutline()}})
	}
	c.Areas = append(c.Areas, nameWaters(g)...)
	c.Districts = nameDistricts(c, quarters, r)
	c.Hotspots = placeHotspots(c, r)
	return c
}
