package matching

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawSmallGraph draws a graph small enough to try all its matchings.
func drawSmallGraph(t *rapid.T) *Graph {
	g := NewGraph(rapid.IntRange(0, 5).Draw(t, "columns"))
	costs := rapid.Int64Range(-4, 12)
	for range rapid.IntRange(0, 5).Draw(t, "rows") {
		g.Row(rapid.Int64Range(-4, 30).Draw(t, "skip"))
		if g.columns == 0 {
			continue
		}
		for range rapid.IntRange(0, 7).Draw(t, "edges") {
			// Sometimes two to the same column.
			g.Edge(rapid.IntRange(0, g.columns-1).Draw(t, "column"), costs.Draw(t, "cost"))
		}
	}

	return g
}

// bruteForceCost returns the least cost of rows i and following, by trying all
// matchings.
func bruteForceCost(g *Graph, i int, taken []bool) int64 {
	if i == g.Rows() {
		return 0
	}
	best := g.skipCost[i] + bruteForceCost(g, i+1, taken)
	for e := g.edgeStart[i]; e < g.edgeStart[i+1]; e++ {
		if j := g.edgeColumn[e]; !taken[j] {
			taken[j] = true
			best = min(best, g.edgeCost[e]+bruteForceCost(g, i+1, taken))
			taken[j] = false
		}
	}

	return best
}

func TestNoMatchingOfASmallGraphIsCheaper(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawSmallGraph(t)
		m, err := g.Assign()
		if err != nil {
			t.Fatal(err)
		}
		if want := bruteForceCost(g, 0, make([]bool, g.columns)); m.Cost != want {
			t.Fatalf("cost %d, and %d is possible", m.Cost, want)
		}
		if err := g.Proves(m); err != nil {
			t.Fatal(err)
		}
	})
}

// randomWindow is a city's window: rows whose edges go to columns near them on
// a line.
func randomWindow(rng *rand.Rand, rows, columns, edges int) *Graph {
	g := NewGraph(columns)
	for range rows {
		g.Row(600_000 + rng.Int64N(100_000))
		at := rng.IntN(columns)
		for range edges {
			j := (at + rng.IntN(4*edges)) % columns
			g.Edge(j, 1000+rng.Int64N(300_000))
		}
	}
	return g
}

func TestTheAnswerOfALargeWindowProvesItselfAndBeatsGreed(t *testing.T) {
	for _, size := range []struct{ rows, columns, edges int }{{500, 2000, 20}, {1000, 1000, 8}, {1500, 300, 20}, {300, 1, 1}} {
		g := randomWindow(rand.New(rand.NewPCG(1, 2)), size.rows, size.columns, size.edges)
		m, err := g.Assign()
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Proves(m); err != nil {
			t.Errorf("%+v: %v", size, err)
		}

		greedy, err := g.Greedy()
		if err != nil {
			t.Fatal(err)
		}
		if m.Cost > greedy.Cost {
			t.Errorf("%+v: cost %d, by greed %d", size, m.Cost, greedy.Cost)
		}
	}
}

func TestTheSameGraphGivesTheSamePairs(t *testing.T) {
	var first Matching
	for i := range 3 {
		m, err := randomWindow(rand.New(rand.NewPCG(7, 7)), 400, 300, 10).Assign()
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && !slices.Equal(m.Row, first.Row) {
			t.Fatal("the pairs differ")
		}
		first = m
	}
}

func TestGreedLetsTheFarRiderPayForTheNearOne(t *testing.T) {
	// Row 0 is near both columns. Row 1 is near column 0, far from column 1.
	g := NewGraph(2)
	g.Row(1000)
	g.Edge(0, 10)
	g.Edge(1, 20)
	g.Row(1000)
	g.Edge(0, 15)
	g.Edge(1, 500)

	m, err := g.Assign()
	if err != nil || m.Cost != 35 || !slices.Equal(m.Row, []int{1, 0}) {
		t.Errorf("assigned %v at %d: %v", m.Row, m.Cost, err)
	}
	if m, err = g.Greedy(); err != nil || m.Cost != 510 || !slices.Equal(m.Row, []int{0, 1}) {
		t.Errorf("by greed %v at %d: %v", m.Row, m.Cost, err)
	}
}

func TestALieAboutAMatchingIsFound(t *testing.T) {
	g := randomWindow(rand.New(rand.NewPCG(3, 4)), 50, 80, 6)
	honest, err := g.Assign()
	if err != nil {
		t.Fatal(err)
	}

	a := slices.IndexFunc(honest.Row, func(j int) bool { return j != None })
	b := slices.Index(honest.Column, None)
	for name, lie := range map[string]func(*Matching){
		"a lower cost":             func(m *Matching) { m.Cost-- },
		"a row that forgot":        func(m *Matching) { m.Row[a] = None },
		"a column that forgot":     func(m *Matching) { m.Column[m.Row[a]] = None },
		"a column beyond the last": func(m *Matching) { m.Row[a] = g.Columns() },
		"a price above 0":          func(m *Matching) { m.Prices[0] = 1 },
		"a price without a row":    func(m *Matching) { m.Prices[b] = -1 },
		"fewer rows":               func(m *Matching) { m.Row = m.Row[1:] },
		"a pair torn apart": func(m *Matching) {
			m.Cost += g.skipCost[a] - (&solver{Graph: g}).cheapestEdge(int32(a), int32(m.Row[a]))
			m.Column[m.Row[a]], m.Row[a] = None, None
		},
	} {
		m := Matching{Row: slices.Clone(honest.Row), Column: slices.Clone(honest.Column), Cost: honest.Cost,
			Prices: slices.Clone(honest.Prices)}
		if lie(&m); g.Proves(m) == nil {
			t.Errorf("%s goes through", name)
		}
	}
}

func TestWhatIsNoGraphIsRefused(t *testing.T) {
	for name, build := range map[string]func(g *Graph){
		"a column beyond the last": func(g *Graph) { g.Row(1); g.Edge(3, 1) },
		"a negative column":        func(g *Graph) { g.Row(1); g.Edge(-1, 1) },
		"an edge without a row":    func(g *Graph) { g.Edge(0, 1) },
		"a cost without measure":   func(g *Graph) { g.Row(1); g.Edge(0, MaxCost+1) },
		"a price without measure":  func(g *Graph) { g.Row(-MaxCost - 1) },
	} {
		g := NewGraph(3)
		build(g)
		if _, err := g.Assign(); !errors.Is(err, ErrGraph) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := g.Greedy(); !errors.Is(err, ErrGraph) {
			t.Errorf("%s, by greed: %v", name, err)
		}
	}
}
