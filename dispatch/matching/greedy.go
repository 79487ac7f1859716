package matching

import "slices"

// AssignGreedy takes the cheapest remaining pair again and again, and skips
// pairs that cost more than leaving the row out. Most dispatchers begin with
// it, and Assign is compared with it. Its answer has no prices and so carries
// no proof.
func (g *Graph) AssignGreedy() (Matching, error) {
	if g.err != nil {
		return Matching{}, g.err
	}

	type pair struct {
		cost     int64
		row, col int32
	}
	var pairs []pair
	m := Matching{ColumnOf: make([]int, g.Rows()), RowOf: make([]int, g.columns)}
	for i := range m.ColumnOf {
		m.ColumnOf[i] = Unmatched
		for e := g.edgeStart[i]; e < g.edgeStart[i+1]; e++ {
			if g.edgeCost[e] < g.skipCost[i] {
				pairs = append(pairs, pair{g.edgeCost[e], int32(i), g.edgeColumn[e]})
			}
		}
	}

	for j := range m.RowOf {
		m.RowOf[j] = Unmatched
	}

	slices.SortStableFunc(pairs, func(a, b pair) int {
		switch {
		case a.cost < b.cost:
			return -1
		case a.cost > b.cost:
			return 1
		}
		return 0
	})

	for _, p := range pairs {
		if m.ColumnOf[p.row] == Unmatched && m.RowOf[p.col] == Unmatched {
			m.ColumnOf[p.row], m.RowOf[p.col] = int(p.col), int(p.row)
			m.Cost += p.cost
		}
	}

	for i, j := range m.ColumnOf {
		if j == Unmatched {
			m.Cost += g.skipCost[i]
		}
	}
	return m, nil
}
