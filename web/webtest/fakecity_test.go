package webtest

import (
	"encoding/json"
	"math"
)

// A small city of the same shape as the real one: enough to see every layer of
// the map.

type feature struct {
	Type       string     `json:"type"`
	Properties properties `json:"properties"`
	Geometry   geometry   `json:"geometry"`
}

type properties struct {
	Kind   string `json:"kind"`
	Class  string `json:"class,omitempty"`
	Name   string `json:"name,omitempty"`
	Bridge bool   `json:"bridge,omitempty"`
}

type geometry struct {
	Type        string `json:"type"`
	Coordinates any    `json:"coordinates"`
}

const fakeLng, fakeLat = 3.40, 6.45

const fakePlan = `{"name":"Fake","attribution":"© Fake","bounds":[3.34,6.42,3.45,6.51],"geojson":"/v1/city"}`

// pointAt returns the point x km east and y km north of the middle.
func pointAt(x, y float64) [2]float64 {
	return [2]float64{fakeLng + x/110.6, fakeLat + y/110.6}
}

func blobPolygon(cx, cy, rx, ry float64) geometry {
	var ring [][2]float64
	for i := 0; i <= 60; i++ {
		a := float64(i%60) / 60 * 2 * math.Pi
		wobble := 1 + 0.06*math.Sin(3*a+cx) + 0.04*math.Sin(7*a+cy)
		ring = append(ring, pointAt(cx+rx*wobble*math.Cos(a), cy+ry*wobble*math.Sin(a)))
	}
	return geometry{"Polygon", [][][2]float64{ring}}
}

func lineString(points ...[2]float64) geometry { return geometry{"LineString", points} }

func fakeCity() []byte {
	shapes := []feature{
		{Geometry: blobPolygon(-1, 4, 7, 3.4), Properties: properties{Kind: "land"}},
		{Geometry: blobPolygon(0.5, -2.2, 5, 1.8), Properties: properties{Kind: "land"}},
		{Geometry: blobPolygon(-3.2, 4.2, 0.9, 0.6), Properties: properties{Kind: "park"}},
		{Geometry: lineString(pointAt(1, -2), pointAt(1, 3)), Properties: properties{Kind: "road", Class: "motorway", Bridge: true}},
		{Geometry: lineString(pointAt(-6, 3), pointAt(5, 3)), Properties: properties{Kind: "road", Class: "motorway"}},
		{Geometry: lineString(pointAt(-3.5, -2), pointAt(4.5, -2)), Properties: properties{Kind: "road", Class: "arterial"}},
		{Geometry: lineString(pointAt(-2, 1.5), pointAt(-2, 6.5)), Properties: properties{Kind: "road", Class: "arterial"}},
		{Geometry: geometry{"Point", pointAt(-3, 5)}, Properties: properties{Kind: "district", Name: "Palm Grove"}},
		{Geometry: geometry{"Point", pointAt(2.6, 4.6)}, Properties: properties{Kind: "district", Name: "Old Market"}},
		{Geometry: geometry{"Point", pointAt(1.5, -2.6)}, Properties: properties{Kind: "district", Name: "Marina"}},
	}

	for i := -9; i <= 7; i++ {
		x := float64(i) * 0.5
		shapes = append(shapes, feature{Geometry: lineString(pointAt(x, 2.2), pointAt(x, 6)), Properties: properties{Kind: "road", Class: "street"}})
	}

	for i := 0; i < 8; i++ {
		y := 2.3 + float64(i)*0.5
		shapes = append(shapes, feature{Geometry: lineString(pointAt(-5, y), pointAt(3.8, y)), Properties: properties{Kind: "road", Class: "street"}})
	}

	for i := -5; i <= 7; i++ {
		x := float64(i) * 0.5
		shapes = append(shapes, feature{Geometry: lineString(pointAt(x, -3), pointAt(x, -1)), Properties: properties{Kind: "road", Class: "street"}})
	}

	for i := range shapes {
		shapes[i].Type = "Feature"
	}
	city, err := json.Marshal(struct {
		Type     string    `json:"type"`
		Features []feature `json:"features"`
	}{"FeatureCollection", shapes})
	if err != nil {
		panic(err)
	}
	return city
}
