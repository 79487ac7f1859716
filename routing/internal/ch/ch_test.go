package ch

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// plain is Dijkstra's algorithm over the arcs as they were given: what a
// hierarchy must agree with.
func plain(nodes int, arcs []Arc, from []Seed) []uint64 {
	out := make([][]Arc, nodes)
	for _, a := range arcs {
		out[a.From] = append(out[a.From], a)
	}
	s := newSearch(nodes)
	s.reset()
	for _, at := range from {
		s.relaxNode(at.Node, at.Cost, -1)
	}

	for {
		n, cost, ok := s.settleNext()
		if !ok {
			break
		}
		for _, a := range out[n] {
			s.relaxNode(a.To, cost+uint64(a.Cost), -1)
		}
	}

	costs := make([]uint64, nodes)
	for n := range costs {
		costs[n] = s.costOf(int32(n))
	}

	return costs
}

// agree holds every pair of seeds against the plain search, and every way
// against its own arcs.
func agree(t interface{ Fatalf(string, ...any) }, nodes int, arcs []Arc, from, to [][]Seed) {
	h, err := Build(nodes, arcs)
	if err != nil {
		t.Fatalf("%v", err)
	}

	f := h.NewFinder()
	for range 2 { // the second time with used memory
		matrix, err := f.Matrix(context.Background(), from, to)
		if err != nil {
			t.Fatalf("%v", err)
		}

		for i := range from {
			costs := plain(nodes, arcs, from[i])
			for j := range to {
				want := uint64(Unreached)
				for _, end := range to[j] {
					if c := costs[end.Node]; c != Unreached {
						want = min(want, c+end.Cost)
					}
				}

				if matrix[i][j] != want {
					t.Fatalf("from %v to %v: the matrix says %d, Dijkstra %d", from[i], to[j], matrix[i][j], want)
				}

				way := f.Route(from[i], to[j])
				if way.Cost != want {
					t.Fatalf("from %v to %v: the route costs %d, by Dijkstra %d", from[i], to[j], way.Cost, want)
				}
				if way.Cost != Unreached {
					drive(t, arcs, from[i], to[j], way)
				}
			}
		}
	}
}

// drive follows a way arc by arc.
func drive(t interface{ Fatalf(string, ...any) }, arcs []Arc, from, to []Seed, way Way) {
	least := uint64(Unreached)
	for _, a := range from {
		for _, b := range to {
			cost, at := a.Cost+b.Cost, a.Node
			whole := at == way.First
			for _, i := range way.Arcs {
				whole = whole && arcs[i].From == at
				at, cost = arcs[i].To, cost+uint64(arcs[i].Cost)
			}

			if whole && at == b.Node {
				least = min(least, cost)
			}
		}
	}

	if least != way.Cost {
		t.Fatalf("the way %+v from %v to %v costs %d", way, from, to, least)
	}
}

func drawSeeds(t *rapid.T, nodes int) (all [][]Seed) {
	for range rapid.IntRange(1, 4).Draw(t, "places") {
		var seeds []Seed
		for range rapid.IntRange(1, 2).Draw(t, "seeds") {
			seeds = append(seeds, Seed{rapid.Int32Range(0, int32(nodes-1)).Draw(t, "node"), rapid.Uint64Range(0, 20).Draw(t, "cost")})
		}
		all = append(all, seeds)
	}
	return all
}

func TestAnyGraphHasDijkstrasWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 24).Draw(t, "nodes")
		node := rapid.Int32Range(0, int32(nodes-1))
		arcs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Arc {
			// one-ways, loops, twins, some without length
			return Arc{node.Draw(t, "from"), node.Draw(t, "to"), rapid.Uint32Range(0, 9).Draw(t, "cost")}
		}), 0, 90).Draw(t, "arcs")
		agree(t, nodes, arcs, drawSeeds(t, nodes), drawSeeds(t, nodes))
	})
}

// grid is streets in a chequerboard, some of them one-way, with a river that
// few bridges cross.
func grid(rng *rand.Rand, side int) (nodes int, arcs []Arc) {
	at := func(x, y int) int32 { return int32(y*side + x) }
	join := func(a, b int32) {
		cost := 1000 + rng.Uint32N(9000)
		arcs = append(arcs, Arc{a, b, cost})
		if rng.IntN(5) > 0 {
			arcs = append(arcs, Arc{b, a, cost + rng.Uint32N(3)})
		}
	}

	for y := range side {
		for x := range side {
			if x+1 < side {
				join(at(x, y), at(x+1, y))
			}
			if y+1 < side && (y != side/2 || x%(side/3) == 0) {
				join(at(x, y), at(x, y+1))
			}
		}
	}

	return side * side, arcs
}

func TestACityOfOneWaysAndBridgesHasDijkstrasWays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	nodes, arcs := grid(rng, 40)
	places := func() (all [][]Seed) {
		for range 12 {
			all = append(all, []Seed{{rng.Int32N(int32(nodes)), 5}, {rng.Int32N(int32(nodes)), 500}})
		}
		return all
	}

	agree(t, nodes, arcs, places(), places())
}

func TestTheSameGraphGivesTheSameHierarchy(t *testing.T) {
	nodes, arcs := grid(rand.New(rand.NewPCG(2, 2)), 20)
	a, err := Build(nodes, arcs)
	if err != nil {
		t.Fatal(err)
	}

	b, err := Build(nodes, arcs)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.arcs) != len(b.arcs) {
		t.Fatalf("%d arcs, then %d", len(a.arcs), len(b.arcs))
	}

	for i := range a.arcs {
		if a.arcs[i] != b.arcs[i] {
			t.Fatalf("arc %d differs", i)
		}
	}
}

func TestWhatIsNoGraphIsRefused(t *testing.T) {
	const far = 1<<32 - 1
	for name, arcs := range map[string][]Arc{
		"a node beyond the last": {{0, 4, 1}},
		"a node below 0":         {{-1, 0, 1}},
		"a way beyond measure":   {{0, 1, far}, {1, 2, far}, {2, 3, far}, {3, 0, far}},
	} {
		if _, err := Build(4, arcs); !errors.Is(err, ErrGraph) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	nodes, arcs := grid(rand.New(rand.NewPCG(3, 3)), 100)
	for b.Loop() {
		h, err := Build(nodes, arcs)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(h.CountShortcuts())/float64(len(arcs)), "shortcuts/arc")
	}
}

func BenchmarkRoute(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	nodes, arcs := grid(rng, 100)

	h, err := Build(nodes, arcs)
	if err != nil {
		b.Fatal(err)
	}

	f := h.NewFinder()
	for b.Loop() {
		way := f.Route([]Seed{{rng.Int32N(int32(nodes)), 0}}, []Seed{{rng.Int32N(int32(nodes)), 0}})
		if way.Cost == Unreached {
			b.Fatal("no way in a grid")
		}
	}
}
