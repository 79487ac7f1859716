package citygen

// XY is a place in metres east and north of the middle.
type XY struct{ X, Y float64 }

// Road is a road; its points are shared with the roads that it meets.
type Road struct {
	Line   []XY
	Rank   int // 0 street, 1 arterial, 2 motorway
	Name   string
	OneWay bool
	Bridge bool
}

// Area is land, water or a park; closed rings, the outer one first.
type Area struct {
	Kind  string
	Name  string
	Rings [][]XY
}

// Place is a district or a hot spot.
type Place struct {
	XY
	Name   string
	Weight float64
}

// City is a generated city.
type City struct {
	Name      string
	Roads     []Road
	Areas     []Area
	Districts []Place
	Hotspots  []Place
}
