package citygen

import (
	"math"
	"math/rand/v2"
)

// streetGrain is the direction of the streets at each place: four directions,
// at right angles. Every district has its own, streets near the shore follow
// the shore, and between districts the directions blend (after Chen, Esch,
// Wonka, Müller and Zhang, Interactive Procedural Street Modeling, 2008).
type streetGrain struct {
	// of four times the angle, so that all four directions are one
	cos, sin raster
	gap      raster // metres between neighbouring streets
}

type districtCentre struct {
	middle XY
	angle  float64
	gap    float64
}

func newStreetGrain(g *terrain, quarters []districtCentre) *streetGrain {
	weigh := func(p XY) (cos, sin, gap float64) {
		var total float64
		for _, q := range quarters {
			d := q.middle.subtract(p)
			w := 1e-9
			if square := d.dot(d); square < 3500*3500 {
				w += math.Exp(-square / (2 * 650 * 650))
			}
			cos, sin = cos+w*math.Cos(4*q.angle), sin+w*math.Sin(4*q.angle)
			gap, total = gap+w*q.gap, total+w
		}

		cos, sin, gap = cos/total, sin/total, gap/total
		w := 2.2 * math.Exp(-max(0, g.depths.valueAt(p))/260)
		if w < 0.01 {
			return cos, sin, gap
		}
		const d = 60
		slope := XY{
			g.depths.valueAt(p.add(XY{d, 0})) - g.depths.valueAt(p.add(XY{-d, 0})),
			g.depths.valueAt(p.add(XY{0, d})) - g.depths.valueAt(p.add(XY{0, -d})),
		}
		along := math.Atan2(slope.Y, slope.X)
		return cos + w*math.Cos(4*along), sin + w*math.Sin(4*along), gap
	}

	n := &streetGrain{cos: make(raster, rasterColumns*rasterRows), sin: make(raster, rasterColumns*rasterRows),
		gap: make(raster, rasterColumns*rasterRows)}
	for r := range rasterRows {
		for c := range rasterColumns {
			i, p := r*rasterColumns+c, rasterPoint(c, r)
			inside := g.limitDepth(p)
			if g.depths[i] < -150 || inside < -400 {
				continue // no streets here
			}
			n.cos[i], n.sin[i], n.gap[i] = weigh(p)
			n.gap[i] *= 1 + 0.45*(1-smoothStep(0, 1800, inside))
		}
	}
	return n
}

// alignHeading returns the direction of the grain at p that is nearest to
// heading.
func (n *streetGrain) alignHeading(p, heading XY) XY {
	a := math.Atan2(n.sin.valueAt(p), n.cos.valueAt(p)) / 4
	sin, cos := math.Sincos(a)

	best := XY{cos, sin}
	if other := best.leftNormal(); math.Abs(other.dot(heading)) > math.Abs(best.dot(heading)) {
		best = other
	}
	if best.dot(heading) < 0 {
		best = best.scale(-1)
	}
	return best
}

// placeDistricts spreads districts over the land, at least `apart` metres from
// each other.
func placeDistricts(g *terrain, r *rand.Rand, apart float64) []districtCentre {
	var out []districtCentre
	for range 4000 {
		p := XY{(2*r.Float64() - 1) * halfWidth, (2*r.Float64() - 1) * halfHeight}
		if g.depths.valueAt(p) < 260 || g.limitDepth(p) < 250 {
			continue
		}

		free := true
		for _, q := range out {
			free = free && q.middle.subtract(p).length() >= apart
		}
		if free {
			out = append(out, districtCentre{p, (r.Float64() - 0.5) * math.Pi / 2 * 0.8, 90 + 42*r.Float64()})
		}
	}

	return out
}
