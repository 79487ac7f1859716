package location

import "math"

const (
	rad             = math.Pi / 180
	metresPerDegree = EarthRadius * rad
)

// Flat measures distances from one point as if the Earth were flat around it,
// without trigonometry for each: within a millionth of Metres up to 20 km,
// everywhere but near the poles, where it falls back to it.
type Flat struct {
	origin   Point
	cos, sin float64
	polar    bool
}

// FlatAt makes the measure of distances from p.
func FlatAt(p Point) Flat {
	sin, cos := math.Sincos(p.Lat * rad)
	return Flat{origin: p, cos: cos, sin: sin, polar: math.Abs(p.Lat) > 75}
}

// Square is the squared distance in metres from the origin to p.
func (f *Flat) Square(p Point) float64 {
	dLat, dLng := p.Lat-f.origin.Lat, p.Lng-f.origin.Lng
	if f.polar || dLng > 1 || dLng < -1 || dLat > 1 || dLat < -1 {
		// far, or across the date line
		m := Metres(f.origin, p)
		return m * m
	}

	h := dLat * (rad / 2)
	cos := f.cos - f.sin*h - f.cos*h*h/2 // of the latitude half way
	x, y := dLng*cos, dLat
	return (x*x + y*y) * (metresPerDegree * metresPerDegree)
}

// Metres is the distance from the origin to p.
func (f *Flat) Metres(p Point) float64 { return math.Sqrt(f.Square(p)) }
