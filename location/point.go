// Package location says what a position is, which H3 cell it is in, and whether
// we believe it. It is pure, and the only package that imports h3.
package location

import (
	"errors"
	"fmt"
	"math"

	"github.com/uber/h3-go/v4"
)

// Point is a place in degrees, WGS84.
type Point struct {
	Lng float64 `json:"lng"`
	Lat float64 `json:"lat"`
}

// ErrPoint is wrapped by every error about coordinates.
var ErrPoint = errors.New("coordinates out of range")

// Check reports coordinates that are not numbers or not on Earth. It comes
// before any call of h3, which takes latitude 91 without a word.
func (p Point) Check() error {
	if math.IsNaN(p.Lng) || math.IsNaN(p.Lat) {
		return fmt.Errorf("%w: not a number", ErrPoint)
	}
	if p.Lng < -180 || p.Lng > 180 || p.Lat < -90 || p.Lat > 90 {
		return fmt.Errorf("%w: longitude %g, latitude %g", ErrPoint, p.Lng, p.Lat)
	}
	return nil
}

// EarthRadius is the mean radius in metres (IUGG).
const EarthRadius = 6371008.8

// Metres is the great-circle distance by the haversine formula (R. W. Sinnott,
// Sky and Telescope 68, 1984).
func Metres(a, b Point) float64 {
	const rad = math.Pi / 180
	sLat, sLng := math.Sin((b.Lat-a.Lat)*rad/2), math.Sin((b.Lng-a.Lng)*rad/2)
	h := sLat*sLat + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*sLng*sLng
	return 2 * EarthRadius * math.Asin(math.Sqrt(min(1, h)))
}

// Bearing is the initial course from a to b in degrees clockwise from north,
// [0,360).
func Bearing(a, b Point) float64 {
	const rad = math.Pi / 180
	dLng := (b.Lng - a.Lng) * rad
	y := math.Sin(dLng) * math.Cos(b.Lat*rad)
	x := math.Cos(a.Lat*rad)*math.Sin(b.Lat*rad) - math.Sin(a.Lat*rad)*math.Cos(b.Lat*rad)*math.Cos(dLng)
	return math.Mod(math.Atan2(y, x)/rad+360, 360)
}

// Region is a coarse H3 cell as hex: the unit of ownership between nodes and of
// publish/subscribe channels.
type Region string

// RegionResolution gives cells of about 250 km², so that a city is a handful of
// regions.
const RegionResolution = 5

// RegionOf returns the region of a point.
func RegionOf(p Point) (Region, error) {
	if err := p.Check(); err != nil {
		return "", err
	}
	c, err := h3.LatLngToCell(h3.NewLatLng(p.Lat, p.Lng), RegionResolution)
	if err != nil {
		return "", fmt.Errorf("region of %v: %w", p, err)
	}
	return Region(c.String()), nil
}
