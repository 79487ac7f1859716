package lagoon

import (
	"math"
	"math/rand/v2"
	"slices"
)

// expressways lays the few roads that the city hangs on: a ring on the mainland, two motorways over the lagoon, two
// more bridges between the islands.
func expressways(g *ground, r *rand.Rand) []line {
	vary := func(x, y float64) XY { return XY{x + 250*(2*r.Float64()-1), y + 200*(2*r.Float64()-1)} }
	west, east := vary(-2550, 2650), vary(2500, 3500)
	ring := []XY{west, vary(-5200, 2900), vary(-6300, 4300), vary(-4300, 5600), vary(-600, 5950), vary(3300, 6000),
		vary(5500, 5100), vary(4700, 3900), east, vary(0, 3150)}
	onWest, onEast := vary(-2700, -1750), vary(2700, -1750)
	southWest, southEast := vary(-2300, -4950), vary(3600, -4800)
	return []line{
		{points: curve(ring, stride, true), rank: motorway, name: "Mainland Ring"},
		{points: curve([]XY{west, west.towards(onWest, 0.5).add(XY{90, 0}), onWest}, stride, false), rank: motorway, name: bridgeNames[0]},
		{points: curve([]XY{east, east.towards(onEast, 0.5).add(XY{350, 0}), onEast}, stride, false), rank: motorway, name: bridgeNames[1]},
		{points: curve([]XY{onWest, southWest}, stride, false), rank: arterial, name: bridgeNames[2]},
		{points: curve([]XY{onEast, southEast}, stride, false), rank: arterial, name: bridgeNames[3]},
	}
}

// newParks finds room for parks on the land.
func newParks(g *ground, r *rand.Rand) []park {
	var out []park
	for range 2000 {
		if len(out) == len(parkNames) {
			break
		}
		k := park{XY{(2*r.Float64() - 1) * halfWidth, (2*r.Float64() - 1) * halfHeight}, 210 + 240*r.Float64(),
			noise(r.Uint64()), parkNames[len(out)]}
		free := g.deep.at(k.middle) > k.radius*0.9 && g.inside(k.middle) > 400
		for _, o := range out {
			free = free && o.middle.sub(k.middle).length() > 2600
		}
		if free {
			out = append(out, k)
		}
	}
	return out
}

func nameArterials(lines []line, r *rand.Rand) {
	names := shuffled(streetNames, r)
	next := 0
	for i := range lines {
		if l := &lines[i]; l.rank == arterial && l.name == "" {
			l.name = names[next%len(names)] + " " + streetKinds[next/len(names)%len(streetKinds)]
			next++
		}
	}
}

func nameDistricts(quarters []quarter, r *rand.Rand) []Place {
	mainland, island := shuffled(mainlandNames, r), shuffled(islandNames, r)
	var out []Place
	for _, q := range quarters {
		names := &mainland
		if q.middle.Y < -400 {
			names = &island
		}
		if len(*names) > 0 {
			out = append(out, Place{XY: q.middle, Name: (*names)[0]})
			*names = (*names)[1:]
		}
	}
	return out
}

// hotspots puts what draws people near the middle of some districts, on a street.
func hotspots(c *City, r *rand.Rand) []Place {
	kinds := []Place{{Name: "Central Market", Weight: 3}, {Name: "Ferry Terminal", Weight: 2}, {Name: "Stadium", Weight: 1.5},
		{Name: "University", Weight: 2}, {Name: "Airport", Weight: 2.5}, {Name: "Railway Station", Weight: 2.5},
		{Name: "Beach Front", Weight: 1.5}, {Name: "Business District", Weight: 3}}
	order := r.Perm(len(c.Districts))
	var out []Place
	for i, k := range kinds {
		if i >= len(order) {
			break
		}
		k.XY = nearestStreet(c, c.Districts[order[i]].XY)
		out = append(out, k)
	}
	return out
}

func nearestStreet(c *City, p XY) XY {
	best, far := p, math.Inf(1)
	for _, road := range c.Roads {
		if road.Rank == motorway || road.Bridge {
			continue
		}
		for _, q := range road.Line {
			if d := q.sub(p).length(); d < far {
				best, far = q, d
			}
		}
	}
	return best
}

func shuffled(names []string, r *rand.Rand) []string {
	out := slices.Clone(names)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
