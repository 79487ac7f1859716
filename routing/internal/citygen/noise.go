package citygen

import "math"

// noise is smooth randomness over the plane: a place always has the same value.
type noise uint64

// valueAt adds octaves of value noise. The first wave is `wave` metres long;
// each next one is half as long and half as high. Values lie between -1 and 1,
// mostly near 0.
func (n noise) valueAt(p XY, wave float64, octaves int) float64 {
	sum, height, total := 0.0, 1.0, 0.0
	for i := range octaves {
		sum += height * (n+noise(i)*0x9e3779b97f4a7c15).smoothAt(p.X/wave, p.Y/wave)
		total += height
		height /= 2
		wave /= 2

		// turned, so that no direction shows
		p = XY{0.8*p.X - 0.6*p.Y, 0.6*p.X + 0.8*p.Y}
	}
	return sum / total
}

func (n noise) smoothAt(x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int64(fx), int64(fy)
	tx, ty := smootherStep(x-fx), smootherStep(y-fy)
	a, b := n.latticeValue(ix, iy), n.latticeValue(ix+1, iy)
	c, d := n.latticeValue(ix, iy+1), n.latticeValue(ix+1, iy+1)
	return interpolate(interpolate(a, b, tx), interpolate(c, d, tx), ty)
}

// latticeValue returns the value at a grid point, by a hash after splitmix64.
func (n noise) latticeValue(x, y int64) float64 {
	z := uint64(n) ^ uint64(x)*0x9e3779b97f4a7c15 ^ uint64(y)*0xc2b2ae3d27d4eb4f
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11)/(1<<52) - 1
}

func smootherStep(t float64) float64      { return t * t * t * (t*(6*t-15) + 10) }
func interpolate(a, b, t float64) float64 { return a + (b-a)*t }

// smoothStep grows smoothly from 0 at lo to 1 at hi.
func smoothStep(lo, hi, v float64) float64 { return smootherStep(max(0, min(1, (v-lo)/(hi-lo)))) }
