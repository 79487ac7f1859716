package routing

import (
	"math/rand/v2"
	"slices"
	"sort"
	"sync"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/internal/ch"
)

// City is a road graph with its map. It never changes and is safe for
// concurrent use.
type City struct {
	plan       Plan
	spec       string
	graph      *graph
	index      *edgeIndex
	min, max   location.Point
	regions    []location.Region
	curbEdges  []int32   // edges where rides begin and end
	curbMetres []float64 // metres of doors up to each one
	geoJSON    func() []byte
	hierarchy  *ch.Hierarchy
	tiles      *tiler
}

// snapRadius is how far from a road, in metres, a point still belongs to the
// city.
const snapRadius = 400

// NewCity builds a city from a plan. It keeps the largest part of the roads in
// which every point reaches every other. Errors wrap ErrPlan.
func NewCity(plan Plan) (*City, error) {
	if err := plan.validate(); err != nil {
		return nil, err
	}
	plan = plan.roundCoordinates()

	g, err := buildGraph(plan.Roads)
	if err != nil {
		return nil, err
	}

	c := &City{plan: plan, graph: g}
	c.min, c.max = findBounds(g)
	c.index = newEdgeIndex(g, c.min, c.max)
	if c.regions, err = listRegions(g); err != nil {
		return nil, err
	}
	c.listCurbs()
	c.geoJSON, c.tiles = sync.OnceValue(c.drawGeoJSON), newTiler(c)
	if c.hierarchy, err = g.buildHierarchy(); err != nil {
		return nil, err
	}
	if c.plan.Straight == (Straight{}) {
		c.plan.Straight = measureStraight(c)
	}

	return c, nil
}

func findBounds(g *graph) (lo, hi location.Point) {
	lo, hi = g.nodes[0], g.nodes[0]
	for i := range g.edges {
		for _, p := range g.edges[i].line {
			lo = location.Point{Lng: min(lo.Lng, p.Lng), Lat: min(lo.Lat, p.Lat)}
			hi = location.Point{Lng: max(hi.Lng, p.Lng), Lat: max(hi.Lat, p.Lat)}
		}
	}
	return lo, hi
}

// regionMargin is how far from its roads, in degrees (about 2 km), a driver of
// the city may get.
const regionMargin = 0.02

// listRegions returns the regions of every junction and of eight points around
// it, sorted. A region is some 20 km wide, so that no road between two
// junctions crosses one without being listed.
func listRegions(g *graph) ([]location.Region, error) {
	seen := make(map[location.Region]bool)

	// points asked before, in steps of an eighth of regionMargin: many
	// junctions share them
	asked := make(map[microPoint]bool)
	for _, n := range g.nodes {
		for dx := -1.0; dx <= 1; dx++ {
			for dy := -1.0; dy <= 1; dy++ {
				p := location.Point{
					Lng: max(-180, min(180, n.Lng+dx*regionMargin)), Lat: max(-90, min(90, n.Lat+dy*regionMargin)),
				}
				step := microPoint{int32(p.Lng / (regionMargin / 8)), int32(p.Lat / (regionMargin / 8))}
				if asked[step] {
					continue
				}
				asked[step] = true

				r, err := location.OldRegionOf(p)
				if err != nil {
					return nil, err
				}
				seen[r] = true
			}
		}
	}

	regions := make([]location.Region, 0, len(seen))
	for r := range seen {
		regions = append(regions, r)
	}
	slices.Sort(regions)
	return regions, nil
}

// listCurbs lists the edges where people get in and out: not motorways and
// bridges, unless there is nothing else.
func (c *City) listCurbs() {
	for _, all := range [...]bool{false, true} {
		var sum float64
		for i := range c.graph.edges {
			if e := &c.graph.edges[i]; all || !e.bridge && e.class != Motorway {
				sum += e.length()
				c.curbEdges, c.curbMetres = append(c.curbEdges, int32(i)), append(c.curbMetres, sum)
			}
		}

		if sum > 0 {
			return
		}
	}
}

// Name returns the city's name.
func (c *City) Name() string { return c.plan.Name }

// Attribution returns the source that a map of the city must name, or "".
func (c *City) Attribution() string { return c.plan.Attribution }

// Straight returns how to estimate routes in this city from straight lines.
func (c *City) Straight() Straight { return c.plan.Straight }

// Kept tells how much of the plan's roads the city consists of: the largest
// part in which every point reaches every other.
type Kept struct {
	Junctions   int     `json:"junctions"`
	OfJunctions int     `json:"of_junctions"`
	Metres      float64 `json:"metres"`
	OfMetres    float64 `json:"of_metres"`
	// roads of which nothing was kept, because they lead nowhere
	LostRoads int `json:"lost_roads"`
}

// Kept returns how much of the plan was kept.
func (c *City) Kept() Kept { return c.graph.kept }

// Spec returns the argument of Open, or "" for a city that was not opened.
func (c *City) Spec() string { return c.spec }

// Bounds returns the south-western and north-eastern corners of the roads.
func (c *City) Bounds() (min, max location.Point) { return c.min, c.max }

// Regions returns the regions in which the city's roads lie, and those that a
// driver near them could stray into, sorted.
func (c *City) Regions() []location.Region { return slices.Clone(c.regions) }

// Hotspots returns the places where most rides begin and end.
func (c *City) Hotspots() []Hotspot { return slices.Clone(c.plan.Hotspots) }

// Contains says whether a point is within 400 m of a road.
func (c *City) Contains(p location.Point) bool {
	_, ok := c.index.findNearest(p, snapRadius)
	return ok
}

// RandomPoint returns a random point on a road where a ride can begin or end.
// Every metre is as likely as any other.
func (c *City) RandomPoint(r *rand.Rand) location.Point {
	at := r.Float64() * c.curbMetres[len(c.curbMetres)-1]
	i := min(sort.SearchFloat64s(c.curbMetres, at), len(c.curbEdges)-1)
	e := &c.graph.edges[c.curbEdges[i]]
	return e.pointAt(min(1, max(0, 1-(c.curbMetres[i]-at)/e.length())))
}

// GeoJSON returns the city as a FeatureCollection for the map page. Callers
// must not change it. The property kind is land, water, park, road or district;
// roads also have class (motorway, arterial, street), bridge and name.
func (c *City) GeoJSON() []byte { return c.geoJSON() }
