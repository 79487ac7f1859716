package routing

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/ridehail/ridehail/location"
)

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	again, err := generate(1)
	if err != nil {
		t.Fatal(err)
	}

	c := builtInCity()
	if !bytes.Equal(saved(t, c), saved(t, again)) || !bytes.Equal(c.GeoJSON(), again.GeoJSON()) {
		t.Fatal("seed 1 made two different cities")
	}
	if bytes.Equal(saved(t, c), saved(t, builtInCities[2]())) {
		t.Fatal("seed 2 made the city of seed 1")
	}
}

func TestTheNodesOfOneProcessShareTheirCity(t *testing.T) {
	cities := make(chan *City)
	for _, spec := range []string{"1", "", "01"} {
		go func() {
			city, err := Open(spec)
			if err != nil {
				t.Error(err)
			}
			cities <- city
		}()
	}
	if a, b, c := <-cities, <-cities, <-cities; a != b || b != c {
		t.Error("the city of one seed was made more than once")
	}

	other, err := Open("2")
	if err != nil || other.Spec() != "2" {
		t.Errorf("%v, %v", other.Spec(), err)
	}
}

func TestEverySeedMakesACityOfTheRightSize(t *testing.T) {
	for seed := range builtInCities {
		c := builtInCities[seed]()
		lo, hi := c.Bounds()
		width := location.MetresBetween(lo, location.Point{Lng: hi.Lng, Lat: lo.Lat})
		height := location.MetresBetween(lo, location.Point{Lng: lo.Lng, Lat: hi.Lat})
		t.Logf("seed %d: %d junctions, %d stretches, %.1f x %.1f km, %d districts, GeoJSON %d KB", seed,
			len(c.graph.nodes), len(c.graph.edges), width/1000, height/1000, len(c.plan.Districts), len(c.GeoJSON())>>10)
		if n := len(c.graph.nodes); n < 4500 || n > 10_000 {
			t.Errorf("seed %d has %d junctions", seed, n)
		}
		if width < 13e3 || width > 19e3 || height < 11e3 || height > 17e3 {
			t.Errorf("seed %d is %.0f x %.0f metres", seed, width, height)
		}
		if n := len(bridges(c)); n != 4 {
			t.Errorf("seed %d has %d bridges", seed, n)
		}
		if len(c.plan.Districts) < 15 || len(c.Hotspots()) < 6 || len(c.GeoJSON()) > 1_500_000 {
			t.Errorf("seed %d: %d districts, %d hot spots, %d bytes of GeoJSON", seed, len(c.plan.Districts),
				len(c.Hotspots()), len(c.GeoJSON()))
		}
	}
}

// bridges names the bridges of a city that are at least 300 metres long.
func bridges(c *City) []string {
	long := map[string]float64{}
	for i := range c.graph.edges {
		if e := &c.graph.edges[i]; e.bridge {
			long[e.name] += e.length()
		}
	}

	var names []string
	for name, metres := range long {
		if metres > 300 {
			names = append(names, name)
		}
	}

	return names
}

func TestEveryJunctionReachesEveryOther(t *testing.T) {
	g := builtInCity().graph
	next, before := make([][]int32, len(g.nodes)), make([][]int32, len(g.nodes))
	for i := range g.edges {
		e := &g.edges[i]
		next[e.from], before[e.to] = append(next[e.from], e.to), append(before[e.to], e.from)
		if !e.oneWay {
			next[e.to], before[e.from] = append(next[e.to], e.from), append(before[e.from], e.to)
		}
	}

	for name, list := range map[string][][]int32{"reached from": next, "able to reach": before} {
		seen := make([]bool, len(g.nodes))
		queue := []int32{0}
		seen[0] = true
		count := 0
		for len(queue) > 0 {
			n := queue[0]
			queue = queue[1:]
			count++

			for _, m := range list[n] {
				if !seen[m] {
					seen[m] = true
					queue = append(queue, m)
				}
			}
		}

		if count != len(g.nodes) {
			t.Errorf("%d of %d junctions are %s the first", count, len(g.nodes), name)
		}
	}

	oneWay := 0
	for i := range g.edges {
		if g.edges[i].oneWay {
			oneWay++
		}
	}

	if oneWay == 0 {
		t.Error("no street is one-way")
	}
}

func TestTheDrawingIsGeoJSONThatThePageUnderstands(t *testing.T) {
	c := builtInCity()
	var drawing struct {
		Type     string
		Features []struct {
			Properties struct {
				Kind, Class, Name string
				Bridge            bool
			}
			Geometry struct {
				Type        string
				Coordinates json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(c.GeoJSON(), &drawing); err != nil || drawing.Type != "FeatureCollection" {
		t.Fatal(drawing.Type, err)
	}

	kinds, metres := map[string]int{}, 0.0
	for _, f := range drawing.Features {
		kinds[f.Properties.Kind+" "+f.Geometry.Type]++
		if f.Properties.Kind != "road" {
			continue
		}
		if !slices.Contains(classNames[:], f.Properties.Class) {
			t.Fatalf("a road of the class %q", f.Properties.Class)
		}
		var line [][2]float64
		if err := json.Unmarshal(f.Geometry.Coordinates, &line); err != nil || len(line) < 2 {
			t.Fatal(line, err)
		}
		for i := range line[1:] {
			metres += location.MetresBetween(location.Point{Lng: line[i][0], Lat: line[i][1]},
				location.Point{Lng: line[i+1][0], Lat: line[i+1][1]})
		}
	}
	t.Log(kinds)

	for _, kind := range []string{"land Polygon", "park Polygon", "road LineString", "district Point"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s is drawn", kind)
		}
	}

	want := 0.0
	for i := range c.graph.edges {
		want += c.graph.edges[i].length()
	}
	if math.Abs(metres-want) > 1 {
		t.Errorf("%.0f metres of road are drawn, the city has %.0f", metres, want)
	}
	if n := kinds["road LineString"]; n > len(c.graph.edges)/2 {
		t.Errorf("%d lines for %d stretches: they were not joined", n, len(c.graph.edges))
	}
}

func TestRandomPointsAreOnRoadsAndInTheCitysRegions(t *testing.T) {
	c, r := builtInCity(), dice(1)
	for range 2000 {
		p := c.RandomPoint(r)
		s, ok := c.index.findNearest(p, 1)
		if !ok || s.off > 0.2 || !c.Contains(p) {
			t.Fatalf("%v is %.2f m from the nearest road", p, s.off)
		}
		region, err := location.OldRegionOf(p)
		if err != nil || !slices.Contains(c.Regions(), region) {
			t.Fatalf("%v is in region %s, not of %v", p, region, c.Regions())
		}
	}

	for _, h := range c.Hotspots() {
		if !c.Contains(h.Point) || h.Weight <= 0 || h.Name == "" {
			t.Errorf("hot spot %+v", h)
		}
	}

	for _, p := range []location.Point{{Lng: 3.4, Lat: 6.2}, {Lng: math.NaN(), Lat: 6.45}, {Lng: -176, Lat: -6.45}, {}} {
		if c.Contains(p) {
			t.Errorf("the city contains %v", p)
		}
	}
}

func TestTheNearestRoadIsFoundAsIfAllWereTried(t *testing.T) {
	c, r := builtInCity(), dice(2)
	for range 200 {
		p := c.RandomPoint(r)
		// within 400 m
		p = location.Point{Lng: p.Lng + (r.Float64()-.5)/200, Lat: p.Lat + (r.Float64()-.5)/200}
		want := math.Inf(1)
		for i := range c.graph.edges {
			line := c.graph.edges[i].line
			for j := range line[1:] {
				if location.MetresBetween(p, line[j]) < 3000 {
					// no stretch is longer
					want = min(want, offSegment(p, line[j], line[j+1]))
				}
			}
		}

		s, ok := c.index.findNearest(p, snapRadius)
		if ok != (want <= snapRadius) || ok && math.Abs(s.off-want) > 0.01 {
			t.Fatalf("%v: %.2f m (%t), by trying all %.2f m", p, s.off, ok, want)
		}
		if ok && math.Abs(location.MetresBetween(p, s.point)-s.off) > 0.5 {
			t.Fatalf("%v: the point is %.2f m away, said to be %.2f", p, location.MetresBetween(p, s.point), s.off)
		}
	}
}

func offSegment(p, a, b location.Point) float64 {
	kx := metresPerDegree * math.Cos(p.Lat*math.Pi/180)
	ax, ay := (a.Lng-p.Lng)*kx, (a.Lat-p.Lat)*metresPerDegree
	bx, by := (b.Lng-p.Lng)*kx, (b.Lat-p.Lat)*metresPerDegree

	best := math.Inf(1)
	lo, hi := 0.0, 1.0
	for range 40 { // by halving, not by projection
		m1, m2 := lo+(hi-lo)/3, hi-(hi-lo)/3
		d1 := math.Hypot(ax+m1*(bx-ax), ay+m1*(by-ay))
		d2 := math.Hypot(ax+m2*(bx-ax), ay+m2*(by-ay))
		best = min(best, d1, d2)

		if d1 < d2 {
			hi = m2
		} else {
			lo = m1
		}
	}

	return best
}
