package ch

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// BenchmarkTowns contracts square towns of more and more junctions, in which
// every tenth street is three times as fast.
func BenchmarkTowns(b *testing.B) {
	sides := []int{100, 300, 700}
	if testing.Short() {
		sides = sides[:1]
	}

	for _, side := range sides {
		r := rand.New(rand.NewPCG(1, 1))
		var arcs []Arc
		street := func(from, to, across int) {
			cost := uint32(8000 + r.IntN(8000))
			if across%10 == 0 {
				cost /= 3
			}
			arcs = append(arcs, Arc{int32(from), int32(to), cost}, Arc{int32(to), int32(from), cost})
		}

		for y := range side {
			for x := range side {
				if x+1 < side {
					street(y*side+x, y*side+x+1, y)
				}
				if y+1 < side {
					street(y*side+x, (y+1)*side+x, x)
				}
			}
		}

		b.Run(strconv.Itoa(side*side), func(b *testing.B) {
			for b.Loop() {
				h, err := Build(side*side, arcs)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(h.CountShortcuts())/float64(side*side), "shortcuts/junction")
			}
		})
	}
}
