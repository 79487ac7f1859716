package citygen

import (
	"math"
	"math/rand/v2"
)

// The city reaches about this far from its middle.
const (
	halfWidth  = 8000
	halfHeight = 7000
)

// terrain tells land from water and knows the city's limits.
type terrain struct {
	rough, fine, edge noise
	// how much farther north, in metres, the mainland's shore is in the east
	// than in the west
	tilt        float64
	wave, phase float64
	islands     []capsule
	bays        []capsule
	parks       []park
	depths      raster // depth, sampled: for the many who ask
}

func newTerrain(r *rand.Rand) *terrain {
	g := &terrain{rough: noise(r.Uint64()), fine: noise(r.Uint64()), edge: noise(r.Uint64())}
	vary := func(x, y, by float64) XY { return XY{x + by*(2*r.Float64()-1), y + by*(2*r.Float64()-1)} }
	g.tilt, g.wave, g.phase = 1200+400*r.Float64(), 2300+600*r.Float64(), 2*math.Pi*r.Float64()
	g.islands = []capsule{
		{vary(-3900, -1500, 200), vary(-2300, -1700, 150), 850},
		{vary(-2600, -1700, 100), vary(-1300, -2050, 250), 720},
		{vary(1900, -1650, 150), vary(3300, -1500, 150), 860},
		{vary(3300, -1700, 100), vary(5000, -2250, 250), 560},
		{vary(-5900, -5450, 200), vary(-3300, -5050, 150), 760},
		{vary(-3500, -5000, 100), vary(2500, -5150, 150), 900},
		{vary(2500, -5000, 100), vary(7000, -4450, 250), 780},
	}

	for range 5 { // islets, too small for anybody but herons
		at := XY{6200 + 1500*(2*r.Float64()-1), -200 + 1300*(2*r.Float64()-1)}
		if r.IntN(3) == 0 {
			at = XY{-7000 + 900*(2*r.Float64()-1), -2300 + 900*(2*r.Float64()-1)}
		}
		g.islands = append(g.islands, capsule{at, at.add(vary(0, 0, 350)), 60 + 150*r.Float64()})
	}

	g.bays = []capsule{
		{vary(-150, -400, 150), vary(350, 1750, 150), 190},
		{vary(5300, -800, 200), vary(5900, 2650, 150), 240},
		{vary(-6300, -600, 200), vary(-5700, 1150, 200), 200},
		{vary(-700, -3700, 300), vary(-350, -4500, 150), 140},
		{vary(5000, -3000, 200), vary(5300, -3900, 150), 120},
	}

	g.depths = newRaster(g.measureDepth)
	return g
}

// measureDepth returns how far inside the land p lies, roughly in metres;
// negative in the water.
func (g *terrain) measureDepth(p XY) float64 {
	// the ocean's beach is straighter than the shores behind it
	calm := 0.35 + 0.65*smoothStep(-6200, -4200, p.Y)
	q := p.add(XY{g.rough.valueAt(p, 2100, 4), g.rough.valueAt(XY{p.Y + 9000, p.X}, 2100, 4)}.scale(820 * calm))
	coast := 1150 + g.tilt*math.Tanh(q.X/4000)/2*1.2 + 260*math.Sin(q.X/g.wave+g.phase)
	// beyond the city the mainland comes down to the ocean on both sides
	if far := math.Abs(q.X); far > halfWidth {
		coast -= 6200 * smoothStep(halfWidth+900, halfWidth+5200, far)
	}

	depth := (q.Y - coast) * 0.9
	for _, i := range g.islands {
		depth = max(depth, i.depthAt(q))
	}
	for _, b := range g.bays {
		depth = min(depth, -b.depthAt(q))
	}

	return depth + 110*calm*g.fine.valueAt(p, 640, 4)
}

// depthAt returns the same as measureDepth; within the city it reads the
// raster.
func (g *terrain) depthAt(p XY) float64 {
	if math.Abs(p.X) > halfWidth+700 || math.Abs(p.Y) > halfHeight+700 {
		return g.measureDepth(p)
	}
	return g.depths.valueAt(p)
}

// limitDepth returns how far inside the city's limits p lies, roughly in
// metres; negative outside.
func (g *terrain) limitDepth(p XY) float64 {
	x, y := math.Abs(p.X)-(halfWidth-2300), math.Abs(p.Y)-(halfHeight-1700)
	out := math.Hypot(max(0, x), max(0, y))
	return 1500 - out + 1000*g.edge.valueAt(p, 2400, 3)
}

// allowsStreet says whether a street may be at p.
func (g *terrain) allowsStreet(p XY) bool {
	if g.depths.valueAt(p) < shoreMargin || g.limitDepth(p) < 0 {
		return false
	}

	for i := range g.parks {
		if g.parks[i].containsPoint(p) {
			return false
		}
	}
	return true
}

const shoreMargin = 55

// park is a roundish green area.
type park struct {
	middle XY
	radius float64
	shape  noise
	name   string
}

func (k *park) containsPoint(p XY) bool {
	d := p.subtract(k.middle)
	return d.length() < k.radius*1.35 && d.length() < k.radiusAt(math.Atan2(d.Y, d.X))
}

func (k *park) radiusAt(angle float64) float64 {
	around := XY{math.Cos(angle), math.Sin(angle)}
	return k.radius * (1 + 0.3*k.shape.valueAt(around.scale(1000), 900, 2))
}

func (k *park) drawOutline() []XY {
	const corners = 48
	ring := make([]XY, 0, corners+1)
	for i := range corners {
		a := 2 * math.Pi * float64(i) / corners
		ring = append(ring, k.middle.add(XY{math.Cos(a), math.Sin(a)}.scale(k.radiusAt(a)-22)))
	}
	return append(ring, ring[0])
}

// raster is a value sampled every rasterStep metres and interpolated in
// between.
type raster []float64

const (
	rasterStep    = 50
	rasterColumns = 2*(halfWidth+800)/rasterStep + 1
	rasterRows    = 2*(halfHeight+800)/rasterStep + 1
)

func rasterPoint(c, r int) XY {
	return XY{float64(c)*rasterStep - halfWidth - 800, float64(r)*rasterStep - halfHeight - 800}
}

func newRaster(value func(XY) float64) raster {
	out := make(raster, rasterColumns*rasterRows)
	for r := range rasterRows {
		for c := range rasterColumns {
			out[r*rasterColumns+c] = value(rasterPoint(c, r))
		}
	}
	return out
}

func (v raster) valueAt(p XY) float64 {
	x := max(0, min(float64(rasterColumns)-1.001, (p.X+halfWidth+800)/rasterStep))
	y := max(0, min(float64(rasterRows)-1.001, (p.Y+halfHeight+800)/rasterStep))
	c, r := int(x), int(y)
	i := r*rasterColumns + c
	tx, ty := x-float64(c), y-float64(r)
	return interpolate(interpolate(v[i], v[i+1], tx), interpolate(v[i+rasterColumns], v[i+rasterColumns+1], tx), ty)
}
