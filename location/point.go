// Package location defines a position, the H3 cell that contains it, and the
// rules by which a node accepts or refuses it. The package is pure: it has no
// goroutine, lock or network. It is the only package that imports h3.
package location

import (
	"errors"
	"fmt"
	"math"
)

// Point is a place in degrees, WGS 84.
type Point struct {
	Lng float64 `json:"lng"`
	Lat float64 `json:"lat"`
}

// ErrPoint is wrapped by every error about coordinates.
var ErrPoint = errors.New("coordinates out of range")

// CheckRange returns an error that wraps ErrPoint if the coordinates are not
// numbers or not on Earth. Callers check before they call h3, which accepts a
// latitude of 91 without an error.
func (p Point) CheckRange() error {
	if math.IsNaN(p.Lng) || math.IsNaN(p.Lat) {
		return fmt.Errorf("%w: not a number", ErrPoint)
	}
	if p.Lng < -180 || p.Lng > 180 || p.Lat < -90 || p.Lat > 90 {
		return fmt.Errorf("%w: longitude %g, latitude %g", ErrPoint, p.Lng, p.Lat)
	}
	return nil
}

// EarthRadius is the Earth's mean radius in metres (IUGG).
const EarthRadius = 6371008.8

// MetresBetween returns the great-circle distance in metres by the haversine
// formula (R. W. Sinnott, Virtues of the Haversine, Sky and Telescope 68,
// 1984).
func MetresBetween(a, b Point) float64 {
	const rad = math.Pi / 180
	sLat, sLng := math.Sin((b.Lat-a.Lat)*rad/2), math.Sin((b.Lng-a.Lng)*rad/2)
	h := sLat*sLat + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*sLng*sLng
	return 2 * EarthRadius * math.Asin(math.Sqrt(min(1, h)))
}

// InitialBearing returns the initial great-circle course from a to b, in
// degrees clockwise from north, in [0, 360).
func InitialBearing(a, b Point) float64 {
	const rad = math.Pi / 180
	dLng := (b.Lng - a.Lng) * rad
	y := math.Sin(dLng) * math.Cos(b.Lat*rad)
	x := math.Cos(a.Lat*rad)*math.Sin(b.Lat*rad) - math.Sin(a.Lat*rad)*math.Cos(b.Lat*rad)*math.Cos(dLng)
	return math.Mod(math.Atan2(y, x)/rad+360, 360)
}
