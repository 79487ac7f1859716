package citygen

import (
	"math"
	"math/rand/v2"
	"slices"
)

// planExpressways returns the main roads: a ring on the mainland with roads out
// of town, two motorways over the water, and two more bridges between the
// islands.
func planExpressways(r *rand.Rand) []line {
	vary := func(x, y float64) XY { return XY{x + 280*(2*r.Float64()-1), y + 220*(2*r.Float64()-1)} }
	west, east := vary(-2550, 2500), vary(2450, 3550)
	north, farWest, farEast := vary(-900, 5450), vary(-5450, 3700), vary(5300, 4600)
	ring := []XY{west, vary(-4450, 2500), farWest, vary(-4200, 5000), vary(-2600, 4900), north, vary(1500, 5750),
		vary(3700, 5500), farEast, vary(4500, 3450), east, vary(100, 3000)}
	onWest, onEast := vary(-2700, -1750), vary(2750, -1700)
	southWest, southEast := vary(-2200, -5000), vary(3700, -4800)
	over := func(from, to XY, bow float64) []XY {
		middle := from.interpolateTo(to, 0.5).add(to.subtract(from).unit().leftNormal().scale(bow))
		return smoothCurve([]XY{from, middle, to}, stride, false)
	}

	return []line{
		{points: smoothCurve(ring, stride, true), rank: motorway, name: "Mainland Ring"},
		{points: over(west, onWest, -140), rank: motorway, name: "Harbour Expressway", bridge: "Harbour Bridge"},
		{points: over(east, onEast, 330), rank: motorway, name: "Lagoon Expressway", bridge: "Long Bridge"},
		{points: over(onWest, southWest, 120), rank: arterial, name: "Fishermen's Road", bridge: "Fishermen's Bridge"},
		{points: over(onEast, southEast, 60), rank: arterial, name: "Strand Road", bridge: "Strand Bridge"},
		{points: over(north, vary(-1500, 7100), 100), rank: motorway, name: "Northern Expressway"},
		{points: over(farWest, vary(-8100, 4300), -150), rank: motorway, name: "Western Expressway"},
		{points: over(farEast, vary(8000, 5500), 150), rank: motorway, name: "Eastern Expressway"},
	}
}

// placeParks places parks on the land, clear of the expressways.
func placeParks(t *tracer, r *rand.Rand) []park {
	g := t.ground
	var out []park
	for range 3000 {
		if len(out) == len(parkNames) {
			break
		}
		k := park{XY{(2*r.Float64() - 1) * halfWidth, (2*r.Float64() - 1) * halfHeight}, 190 + 230*r.Float64(),
			noise(r.Uint64()), parkNames[len(out)]}
		free := g.depths.valueAt(k.middle) > k.radius*0.9 && g.limitDepth(k.middle) > 400
		for _, o := range out {
			free = free && o.middle.subtract(k.middle).length() > 2300
		}

		for _, l := range t.lines {
			for _, p := range l.points {
				free = free && p.subtract(k.middle).length() > k.radius*1.3+60
			}
		}

		if free {
			out = append(out, k)
		}
	}

	return out
}

// nameWaters returns a small circle in the middle of each water, for the map to
// write the name on.
func nameWaters(g *terrain) []Area {
	middle := func(name string, south, north float64) Area {
		best := XY{}
		far := math.Inf(1)
		for y := south; y <= north; y += 100 {
			for x := -5000.0; x <= 5000; x += 100 {
				p := XY{x, y}
				if d := g.depths.valueAt(p) + p.length()/20; d < far {
					best, far = p, d
				}
			}
		}

		round := park{middle: best, radius: 100}
		return Area{Kind: "water", Name: name, Rings: [][]XY{round.drawOutline()}}
	}

	return []Area{middle("Ilagun Lagoon", -1200, 1000), middle("Bight of Ilagun", -7200, -6900)}
}

func nameArterials(lines []line, r *rand.Rand) {
	names := shuffleNames(streetNames, r)
	next := 0
	for i := range lines {
		if l := &lines[i]; l.rank == arterial && l.name == "" {
			l.name = names[next%len(names)] + " " + streetKinds[next/len(names)%len(streetKinds)]
			next++
		}
	}
}

// nameDistricts names the districts that have streets.
func nameDistricts(c *City, quarters []districtCentre, r *rand.Rand) []Place {
	mainland, island := shuffleNames(mainlandNames, r), shuffleNames(islandNames, r)
	var out []Place
	for _, q := range quarters {
		names := &mainland
		if q.middle.Y < -400 {
			names = &island
		}
		if len(*names) > 0 && findNearestStreet(c, q.middle).subtract(q.middle).length() < 300 {
			out = append(out, Place{XY: q.middle, Name: (*names)[0], Weight: 1})
			*names = (*names)[1:]
		}
	}

	return out
}

// placeHotspots places hot spots near the middle of some districts, on a
// street.
func placeHotspots(c *City, r *rand.Rand) []Place {
	kinds := []Place{
		{Name: "Central Market", Weight: 3}, {Name: "Ferry Terminal", Weight: 2}, {Name: "Stadium", Weight: 1.5},
		{Name: "University", Weight: 2}, {Name: "Airport", Weight: 2.5}, {Name: "Railway Station", Weight: 2.5},
		{Name: "Beach Front", Weight: 1.5}, {Name: "Business District", Weight: 3},
	}

	order := r.Perm(len(c.Districts))
	var out []Place
	for i, k := range kinds {
		if i >= len(order) {
			break
		}
		k.XY = findNearestStreet(c, c.Districts[order[i]].XY)
		out = append(out, k)
	}

	return out
}

func findNearestStreet(c *City, p XY) XY {
	best, far := p, math.Inf(1)
	for _, road := range c.Roads {
		if road.Rank == motorway || road.Bridge {
			continue
		}
		for _, q := range road.Line {
			if d := q.subtract(p).length(); d < far {
				best, far = q, d
			}
		}
	}
	return best
}

func shuffleNames(names []string, r *rand.Rand) []string {
	out := slices.Clone(names)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
