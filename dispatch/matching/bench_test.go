package matching

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// BenchmarkAssign matches one window of a city: riders and drivers spread over
// a square, each rider with the 20 nearest drivers as candidates. It reports
// how the exact matching compares with the greedy one, in time and in cost.
func BenchmarkAssign(b *testing.B) {
	sizes := []struct{ riders, drivers int }{{500, 2500}, {2000, 10000}, {2000, 2000}, {10000, 50000}, {10000, 8000}}
	if testing.Short() {
		sizes = sizes[:1]
	}

	for _, size := range sizes {
		b.Run(fmt.Sprintf("riders=%d/drivers=%d/candidates=20", size.riders, size.drivers), func(b *testing.B) {
			g := cityWindow(size.riders, size.drivers, 20)
			var exact, greedy Matching
			var spent time.Duration
			for b.Loop() {
				begin := time.Now()
				greedy, _ = g.AssignGreedy()
				spent += time.Since(begin)
				exact, _ = g.Assign()
			}

			whole := b.Elapsed()
			if err := g.VerifyOptimal(exact); err != nil {
				b.Fatal(err)
			}
			n := float64(b.N)
			b.ReportMetric(float64((whole-spent).Microseconds())/1e3/n, "ms/exact")
			b.ReportMetric(float64(spent.Microseconds())/1e3/n, "ms/greedy")
			b.ReportMetric(float64(whole-spent)/float64(spent), "x-greedy-time")
			b.ReportMetric(float64(exact.Cost)/float64(greedy.Cost), "x-greedy-cost")
		})
	}
}

// cityWindow spreads riders and drivers over a square of 10 km, in which a
// driver goes 8 m/s along the axes.
func cityWindow(riders, drivers, candidates int) *Graph {
	rng := rand.New(rand.NewPCG(5, 8))
	const side, cells = 10_000, 40
	type point struct{ x, y float64 }
	somewhere := func() point { return point{rng.Float64() * side, rng.Float64() * side} }
	at := make([]point, drivers)
	var in [cells][cells][]int
	cell := func(v float64) int { return min(cells-1, int(v/side*cells)) }
	for j := range at {
		at[j] = somewhere()
		in[cell(at[j].x)][cell(at[j].y)] = append(in[cell(at[j].x)][cell(at[j].y)], j)
	}

	g := NewGraph(drivers)
	for range riders {
		p := somewhere()
		type near struct {
			cost int64
			j    int
		}
		var best []near
		for ring := 0; ring < cells && len(best) < 4*candidates; ring++ {
			for x := max(0, cell(p.x)-ring); x <= min(cells-1, cell(p.x)+ring); x++ {
				for y := max(0, cell(p.y)-ring); y <= min(cells-1, cell(p.y)+ring); y++ {
					if max(max(x-cell(p.x), cell(p.x)-x), max(y-cell(p.y), cell(p.y)-y)) != ring {
						continue
					}
					for _, j := range in[x][y] {
						d := math.Abs(at[j].x-p.x) + math.Abs(at[j].y-p.y)
						best = append(best, near{int64(d / 8 * 1000), j})
					}
				}
			}
		}

		slices.SortFunc(best, func(a, b near) int { return cmp.Compare(a.cost, b.cost) })
		g.AddRow(3_600_000)
		for _, n := range best[:min(candidates, len(best))] {
			g.AddEdge(n.j, n.cost)
		}
	}
	return g
}
