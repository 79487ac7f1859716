package routing

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

// benchCity is the built-in city, or the one that RIDEHAIL_BENCH_CITY names as
// --city would.
func benchCity(b *testing.B) *City {
	spec := os.Getenv("RIDEHAIL_BENCH_CITY")
	if spec == "" {
		return builtInCity()
	}

	c, err := Open(spec)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkRoute compares the router with Dijkstra's search in the same graph,
// over the same pairs.
func BenchmarkRoute(b *testing.B) {
	c := benchCity(b)
	router, r, plain := NewRouter(c), dice(1), newPlain(c.graph)
	var pairs [64][2]location.Point
	for i := range pairs {
		pairs[i] = [2]location.Point{c.RandomPoint(r), c.RandomPoint(r)}
	}

	var fast, slow time.Duration
	i := 0
	for b.Loop() {
		p := pairs[i%len(pairs)]
		i++
		start := time.Now()
		if _, err := router.Route(context.Background(), p[0], p[1]); err != nil {
			b.Fatal(err)
		}

		between := time.Now()
		from, _ := router.snapToEdge(p[0])
		to, _ := router.snapToEdge(p[1])
		plain.times(router, from, []edgePoint{to})
		fast, slow = fast+between.Sub(start), slow+time.Since(between)
	}

	b.ReportMetric(float64(fast.Nanoseconds())/1e3/float64(b.N), "µs/route")
	b.ReportMetric(slow.Seconds()/fast.Seconds(), "Dijkstra/route")
}

// BenchmarkMatrix compares 100 x 100 travel times with one of Dijkstra's
// searches for each row.
func BenchmarkMatrix(b *testing.B) {
	c := benchCity(b)
	router, r, plain := NewRouter(c), dice(2), newPlain(c.graph)

	from, to := make([]location.Point, 100), make([]location.Point, 100)
	spots := make([]edgePoint, len(to))
	for i := range from {
		from[i], to[i] = c.RandomPoint(r), c.RandomPoint(r)
		spots[i], _ = router.snapToEdge(to[i])
	}

	var fast, slow time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := router.Matrix(context.Background(), from, to); err != nil {
			b.Fatal(err)
		}
		between := time.Now()

		for _, p := range from {
			at, _ := router.snapToEdge(p)
			plain.times(router, at, spots)
		}

		fast, slow = fast+between.Sub(start), slow+time.Since(between)
	}

	pairs := float64(b.N) * float64(len(from)*len(to))
	b.ReportMetric(float64(fast.Nanoseconds())/1e3/pairs, "µs/pair")
	b.ReportMetric(float64(slow.Nanoseconds())/1e3/pairs, "Dijkstra-µs/pair")
	b.ReportMetric(slow.Seconds()/fast.Seconds(), "Dijkstra/matrix")
}

func BenchmarkSnap(b *testing.B) {
	c := benchCity(b)
	router, p := NewRouter(c), c.RandomPoint(dice(3))
	for b.Loop() {
		if _, _, err := router.Snap(p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkContract is the part of BenchmarkGenerate that builds the hierarchy.
func BenchmarkContract(b *testing.B) {
	g := benchCity(b).graph
	for b.Loop() {
		if _, err := g.buildHierarchy(); err != nil {
			b.Fatal(err)
		}
	}

	b.ReportMetric(float64(len(g.nodes)), "junctions")
	b.ReportMetric(float64(len(g.arcs)), "arcs")
}

// BenchmarkTile makes every tile of the city's middle at one zoom after the
// other, none of them from memory.
func BenchmarkTile(b *testing.B) {
	c := benchCity(b)
	all, bytes, tiles := c.listDrawables(), 0, 0
	for b.Loop() {
		for z := uint32(tileMin); z <= tileMax; z++ {
			tile, err := makeTile(tileOf(c, c.Hotspots()[0].Point, z), all)
			if err != nil {
				b.Fatal(err)
			}
			bytes, tiles = bytes+len(tile), tiles+1
		}
	}

	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(tiles), "ms/tile")
	b.ReportMetric(float64(bytes)/float64(tiles), "bytes/tile")
	b.ReportMetric(float64(len(c.GeoJSON())), "bytes/GeoJSON")
}

func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		if _, err := generate(1); err != nil {
			b.Fatal(err)
		}
	}
}
