package matching

import "fmt"

// VerifyOptimal checks that m is a matching of the graph, and that its prices
// prove it the cheapest. It returns what is wrong, or nil.
//
// The proof is linear-programming duality with complementary slackness. Prices
// are never above 0, and are 0 for columns without a row. Counting prices, each
// row has the cheapest of its choices, staying unmatched included. Then no
// matching costs less. The check reads every edge once, so that answers of any
// size can be checked without trusting the solver.
func (g *Graph) VerifyOptimal(m Matching) error {
	if len(m.ColumnOf) != g.Rows() || len(m.RowOf) != g.columns || len(m.Prices) != g.columns {
		return fmt.Errorf("a matching of %d rows and %d columns with %d prices does not fit %d rows and %d columns",
			len(m.ColumnOf), len(m.RowOf), len(m.Prices), g.Rows(), g.columns)
	}

	for j, i := range m.RowOf {
		switch {
		case i != Unmatched && (i < 0 || i >= g.Rows() || m.ColumnOf[i] != j):
			return fmt.Errorf("column %d claims row %d", j, i)
		case m.Prices[j] > 0, i == Unmatched && m.Prices[j] != 0:
			return fmt.Errorf("column %d, whose row is %d, has the price %d", j, i, m.Prices[j])
		}
	}

	sum := int64(0)
	for i, j := range m.ColumnOf {
		if j != Unmatched && (j < 0 || j >= g.columns || m.RowOf[j] != i) {
			return fmt.Errorf("row %d claims column %d", i, j)
		}
		has, least, found := g.skipCost[i], g.skipCost[i], j == Unmatched
		for e := g.edgeStart[i]; e < g.edgeStart[i+1]; e++ {
			to := int(g.edgeColumn[e])
			least = min(least, g.edgeCost[e]-m.Prices[to])
			if to == j && (!found || g.edgeCost[e] < has) {
				has, found = g.edgeCost[e], true
			}
		}

		if !found {
			return fmt.Errorf("row %d has no edge to column %d", i, j)
		}
		sum += has
		if j != Unmatched {
			has -= m.Prices[j]
		}
		if has > least {
			return fmt.Errorf("row %d pays %d and could pay %d", i, has, least)
		}
	}

	if sum != m.Cost {
		return fmt.Errorf("the cost is %d, not %d", sum, m.Cost)
	}
	return nil
}
