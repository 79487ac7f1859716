package routing

import (
	"context"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

// BenchmarkRoute compares the router with Dijkstra's search in the same graph, over the same pairs.
func BenchmarkRoute(b *testing.B) {
	c := builtInCity()
	router, r := NewRouter(c), dice(1)
	var pairs [64][2]location.Point
	for i := range pairs {
		pairs[i] = [2]location.Point{c.RandomPoint(r), c.RandomPoint(r)}
	}
	var astar, dijkstra time.Duration
	i := 0
	for b.Loop() {
		p := pairs[i%len(pairs)]
		i++
		start := time.Now()
		if _, err := router.Route(context.Background(), p[0], p[1]); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if _, err := router.Times(context.Background(), p[:1], p[1]); err != nil { // Dijkstra, backwards
			b.Fatal(err)
		}
		astar, dijkstra = astar+between.Sub(start), dijkstra+time.Since(between)
	}
	b.ReportMetric(float64(astar.Microseconds())/float64(b.N), "µs/route")
	b.ReportMetric(dijkstra.Seconds()/astar.Seconds(), "Dijkstra/A*")
}

// BenchmarkTimes compares one backward search for 64 cars with 64 routes.
func BenchmarkTimes(b *testing.B) {
	c := builtInCity()
	router, r := NewRouter(c), dice(2)
	from := make([]location.Point, 64)
	for i := range from {
		from[i] = c.RandomPoint(r)
	}
	to := c.RandomPoint(r)
	var together, single time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := router.Times(context.Background(), from, to); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		for _, p := range from {
			if _, err := router.Route(context.Background(), p, to); err != nil {
				b.Fatal(err)
			}
		}
		together, single = together+between.Sub(start), single+time.Since(between)
	}
	b.ReportMetric(float64(together.Microseconds())/float64(b.N), "µs/64-cars")
	b.ReportMetric(single.Seconds()/together.Seconds(), "one-by-one/together")
}

func BenchmarkSnap(b *testing.B) {
	c := builtInCity()
	router, p := NewRouter(c), c.RandomPoint(dice(3))
	for b.Loop() {
		if _, _, err := router.Snap(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		if _, err := Open("1"); err != nil {
			b.Fatal(err)
		}
	}
}
