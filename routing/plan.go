// Package routing finds ways and travel times between points on a road graph.
// It has the city and its file format, the router, the RPC service that offers
// the router, and a client that falls back to straight lines when the service
// fails.
package routing

import (
	"errors"
	"fmt"
	"math"

	"github.com/ridehail/ridehail/location"
)

// Class is the importance of a road.
type Class uint8

const (
	Street Class = iota
	Arterial
	Motorway
)

var classNames = [...]string{Street: "street", Arterial: "arterial", Motorway: "motorway"}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Speed returns what a car drives on a road of the class that has no speed of
// its own, in metres per second.
func (c Class) Speed() float64 {
	switch c {
	case Motorway:
		return 22
	case Arterial:
		return 13
	default:
		return 8
	}
}

// Road is a line that cars drive on. Two roads meet where they share exactly
// the same point, as in OpenStreetMap; lines that merely cross do not meet.
type Road struct {
	Points []location.Point
	Class  Class
	Name   string
	OneWay bool    // only in the order of Points
	Bridge bool    // over water
	Speed  float64 // metres per second; 0 means Class.Speed
}

// Kinds of areas, as they appear in City.GeoJSON.
const (
	Land  = "land"
	Water = "water"
	Park  = "park"
)

// Area is a polygon: an outer ring, then holes.
type Area struct {
	Kind  string
	Name  string
	Rings [][]location.Point
}

// District is a named part of the city.
type District struct {
	Name string
	location.Point
}

// Hotspot is a place where more rides begin and end than elsewhere.
type Hotspot struct {
	Name string
	location.Point
	Weight float64 // relative to the other hot spots
}

// Plan is the input of NewCity: generators and map importers produce it, and a
// city file holds it. Coordinates are rounded to a millionth of a degree, about
// a decimetre.
type Plan struct {
	Name        string
	Attribution string // the source that a map must name, or ""
	Roads       []Road
	Areas       []Area
	Districts   []District
	Hotspots    []Hotspot
	Straight    Straight // the zero value: NewCity measures it
}

// ErrPlan is wrapped by every error about a plan that no city can be built
// from.
var ErrPlan = errors.New("unusable city plan")

// longestStep bounds the metres between two points of a road. The longest
// bridge has less than half of it.
const longestStep = 100_000

// maxSpeed bounds the speed of a road, in metres per second; minSpeed keeps
// travel times finite.
const (
	minSpeed = 0.5
	maxSpeed = 60
)

func (p *Plan) validate() error {
	if err := p.Straight.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrPlan, err)
	}

	for i := range p.Roads {
		if err := p.Roads[i].validate(); err != nil {
			return fmt.Errorf("%w: road %d %q: %w", ErrPlan, i, p.Roads[i].Name, err)
		}
	}

	for i, a := range p.Areas {
		if a.Kind != Land && a.Kind != Water && a.Kind != Park {
			return fmt.Errorf("%w: area %d is of the unknown kind %q", ErrPlan, i, a.Kind)
		}
		for _, ring := range a.Rings {
			if err := validateLine(ring, 4); err != nil {
				return fmt.Errorf("%w: area %d %q: %w", ErrPlan, i, a.Name, err)
			}
		}
	}

	for _, d := range p.Districts {
		if err := d.CheckRange(); err != nil {
			return fmt.Errorf("%w: district %q: %w", ErrPlan, d.Name, err)
		}
	}

	for _, h := range p.Hotspots {
		if err := h.CheckRange(); err != nil {
			return fmt.Errorf("%w: hot spot %q: %w", ErrPlan, h.Name, err)
		}
		if !(h.Weight >= 0) || math.IsInf(h.Weight, 0) {
			return fmt.Errorf("%w: hot spot %q has the weight %g", ErrPlan, h.Name, h.Weight)
		}
	}
	return nil
}

func (r *Road) validate() error {
	if err := validateLine(r.Points, 2); err != nil {
		return err
	}

	for i := range r.Points[1:] {
		if location.MetresBetween(r.Points[i], r.Points[i+1]) > longestStep {
			return fmt.Errorf("two points are more than %d km apart", longestStep/1000)
		}
	}

	if int(r.Class) >= len(classNames) {
		return fmt.Errorf("unknown class %d", r.Class)
	}
	if r.Speed != 0 && !(r.Speed >= minSpeed && r.Speed <= maxSpeed) {
		return fmt.Errorf("a speed of %g m/s, not between %g and %d", r.Speed, minSpeed, maxSpeed)
	}

	return nil
}

func validateLine(line []location.Point, least int) error {
	if len(line) < least {
		return fmt.Errorf("%d points, at least %d are needed", len(line), least)
	}

	for _, p := range line {
		if err := p.CheckRange(); err != nil {
			return err
		}
	}
	return nil
}

// roundCoordinates returns the plan with every coordinate at a millionth of a
// degree; the lines are copies.
func (p Plan) roundCoordinates() Plan {
	roads := make([]Road, len(p.Roads))
	for i, r := range p.Roads {
		r.Points = roundLine(r.Points)
		roads[i] = r
	}

	areas := make([]Area, len(p.Areas))
	for i, a := range p.Areas {
		rings := make([][]location.Point, len(a.Rings))
		for j, ring := range a.Rings {
			rings[j] = roundLine(ring)
		}
		a.Rings = rings
		areas[i] = a
	}

	districts := make([]District, len(p.Districts))
	for i, d := range p.Districts {
		districts[i] = District{Name: d.Name, Point: toMicro(d.Point).toPoint()}
	}

	spots := make([]Hotspot, len(p.Hotspots))
	for i, h := range p.Hotspots {
		h.Point = toMicro(h.Point).toPoint()
		spots[i] = h
	}

	p.Roads, p.Areas, p.Districts, p.Hotspots = roads, areas, districts, spots
	return p
}

func roundLine(line []location.Point) []location.Point {
	out := make([]location.Point, len(line))
	for i, p := range line {
		out[i] = toMicro(p).toPoint()
	}
	return out
}

// microPoint is a point in millionths of a degree. Two roads meet where their
// microPoints are equal.
type microPoint struct{ lng, lat int32 }

func toMicro(p location.Point) microPoint {
	return microPoint{int32(math.Round(p.Lng * 1e6)), int32(math.Round(p.Lat * 1e6))}
}

func (k microPoint) toPoint() location.Point {
	return location.Point{Lng: float64(k.lng) / 1e6, Lat: float64(k.lat) / 1e6}
}
