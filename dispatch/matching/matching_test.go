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
		g.AddRow(rapid.Int64Range(-4, 30).Draw(t, "skip"))
		if g.columns == 0 {
			continue
		}
		for range rapid.IntRange(0, 7).Draw(t, "edges") {
			// Sometimes two to the same column.
			g.AddEdge(rapid.IntRange(0, g.columns-1).Draw(t, "column"), costs.Draw(t, "cost"))
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
		if err := g.VerifyOptimal(m); err != nil {
			t.Fatal(err)
		}
	})
}

// randomWindow is a city's window: rows whose edges go to columns near them on
// a line.
func randomWindow(rng *rand.Rand, rows, columns, edges int) *Graph {
	g := NewGraph(columns)
	for range rows {
		g.AddRow(600_000 + rng.Int64N(100_000))
		at := rng.IntN(columns)
		for range edges {
			j := (at + rng.IntN(4*edges)) % columns
			g.AddEdge(j, 1000+rng.Int64N(300_000))
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
		if err := g.VerifyOptimal(m); err != nil {
			t.Errorf("%+v: %v", size, err)
		}

		greedy, err := g.AssignGreedy()
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
		if i > 0 && !slices.Equal(m.ColumnOf, first.ColumnOf) {
			t.Fatal("the pairs differ")
		}
		first = m
	}
}

func TestGreedLetsTheFarRiderPayForTheNearOne(t *testing.T) {
	// Row 0 is near both columns. Row 1 is near column 0, far from column 1.
	g := NewGraph(2)
	g.AddRow(1000)
	g.AddEdge(0, 10)
	g.AddEdge(1, 20)
	g.AddRow(1000)
	g.AddEdge(0, 15)
	g.AddEdge(1, 500)

	m, err := g.Assign()
	if err != nil || m.Cost != 35 || !slices.Equal(m.ColumnOf, []int{1, 0}) {
		t.Errorf("assigned %v at %d: %v", m.ColumnOf, m.Cost, err)
	}
	if m, err = g.AssignGreedy(); err != nil || m.Cost != 510 || !slices.Equal(m.ColumnOf, []int{0, 1}) {
		t.Errorf("by greed %v at %d: %v", m.ColumnOf, m.Cost, err)
	}
}

func TestALieAboutAMatchingIsFound(t *testing.T) {
	g := randomWindow(rand.New(rand.NewPCG(3, 4)), 50, 80, 6)
	honest, err := g.Assign()
	if err != nil {
		t.Fatal(err)
	}

	a := slices.IndexFunc(honest.ColumnOf, func(j int) bool { return j != Unmatched })
	b := slices.Index(honest.RowOf, Unmatched)
	for name, lie := range map[string]func(*Matching){
		"a lower cost":             func(m *Matching) { m.Cost-- },
		"a row that forgot":        func(m *Matching) { m.ColumnOf[a] = Unmatched },
		"a column that forgot":     func(m *Matching) { m.RowOf[m.ColumnOf[a]] = Unmatched },
		"a column beyond the last": func(m *Matching) { m.ColumnOf[a] = g.Columns() },
		"a price above 0":          func(m *Matching) { m.Prices[0] = 1 },
		"a price without a row":    func(m *Matching) { m.Prices[b] = -1 },
		"fewer rows":               func(m *Matching) { m.ColumnOf = m.ColumnOf[1:] },
		"a pair torn apart": func(m *Matching) {
			m.Cost += g.skipCost[a] - (&solver{Graph: g}).cheapestEdge(int32(a), int32(m.ColumnOf[a]))
			m.RowOf[m.ColumnOf[a]], m.ColumnOf[a] = Unmatched, Unmatched
		},
	} {
		m := Matching{ColumnOf: slices.Clone(honest.ColumnOf), RowOf: slices.Clone(honest.RowOf), Cost: honest.Cost,
			Prices: slices.Clone(honest.Prices)}
		if lie(&m); g.VerifyOptimal(m) == nil {
			t.Errorf("%s goes through", name)
		}
	}
}

func TestWhatIsNoGraphIsRefused(t *testing.T) {
	for name, build := range map[string]func(g *Graph){
		"a column beyond the last": func(g *Graph) { g.AddRow(1); g.AddEdge(3, 1) },
		"a negative column":        func(g *Graph) { g.AddRow(1); g.AddEdge(-1, 1) },
		"an edge without a row":    func(g *Graph) { g.AddEdge(0, 1) },
		"a cost without measure":   func(g *Graph) { g.AddRow(1); g.AddEdge(0, MaxCost+1) },
		"a price without measure":  func(g *Graph) { g.AddRow(-MaxCost - 1) },
	} {
		g := NewGraph(3)
		build(g)
		if _, err := g.Assign(); !errors.Is(err, ErrInvalidGraph) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := g.AssignGreedy(); !errors.Is(err, ErrInvalidGraph) {
			t.Errorf("%s, by greed: %v", name, err)
		}
	}
}
