// Package matching solves the assignment problem on a sparse graph: it pairs
// rows with columns at the least total cost, exactly. It knows nothing of trips
// or drivers and uses no clock. The same graph always gives the same pairs.
package matching

import (
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/internal/minheap"
)

// MaxCost bounds the absolute value of every cost in a graph, so that no sum
// along a path can overflow.
const MaxCost = int64(1) << 40

// Unmatched is the partner of an unmatched row or column.
const Unmatched = -1

// Graph is a weighted bipartite graph: rows ask, columns serve, and an edge is
// a pair with its cost. A row may stay unmatched at a cost of its own, so that
// leaving it out is a choice like any other. Build it with NewGraph, Row and
// AddEdge. It is not safe for concurrent use while it is built.
type Graph struct {
	columns int

	edgeStart  []int32 // Start of each row's edges, and the end of the last.
	edgeColumn []int32
	edgeCost   []int64
	skipCost   []int64 // By row.

	err error // What the last invalid call did.
}

// NewGraph returns a graph without rows over a number of columns.
func NewGraph(columns int) *Graph { return &Graph{columns: columns, edgeStart: []int32{0}} }

// AddRow begins the next row. It costs skip if it stays unmatched.
func (g *Graph) AddRow(skip int64) {
	g.checkCost(skip)
	g.skipCost = append(g.skipCost, skip)
	g.edgeStart = append(g.edgeStart, int32(len(g.edgeColumn)))
}

// ErrInvalidGraph is returned for a graph with a column out of range, a cost
// beyond MaxCost, or an edge before the first row.
var ErrInvalidGraph = errors.New("not a graph that can be matched")

// AddEdge allows the current row to be paired with a column at a cost. Of two
// edges to one column the cheaper counts.
func (g *Graph) AddEdge(column int, cost int64) {
	g.checkCost(cost)

	switch {
	case column < 0 || column >= g.columns:
		g.err = fmt.Errorf("%w: column %d of %d", ErrInvalidGraph, column, g.columns)
	case len(g.skipCost) == 0:
		g.err = fmt.Errorf("%w: an edge before the first row", ErrInvalidGraph)
	}

	g.edgeColumn = append(g.edgeColumn, int32(column))
	g.edgeCost = append(g.edgeCost, cost)
	g.edgeStart[len(g.edgeStart)-1] = int32(len(g.edgeColumn))
}

func (g *Graph) checkCost(cost int64) {
	if cost > MaxCost || cost < -MaxCost {
		g.err = fmt.Errorf("%w: a cost of %d", ErrInvalidGraph, cost)
	}
}

// Rows and Columns return how many there are.
func (g *Graph) Rows() int    { return len(g.skipCost) }
func (g *Graph) Columns() int { return g.columns }

// Matching holds a partner for each row and column, or Unmatched, and the total
// cost. The prices prove that no matching is cheaper; see Graph.VerifyOptimal.
type Matching struct {
	ColumnOf []int   // The column of each row.
	RowOf    []int   // The row of each column.
	Cost     int64   // Of the pairs and of the unmatched rows.
	Prices   []int64 // By column: the dual variables.
}

// Assign finds the matching of least total cost. Each row and each column is in
// one pair at most. It returns ErrInvalidGraph if the graph was built wrongly.
//
// The algorithm adds one row after the other, each along the shortest
// augmenting path under the current prices. Dijkstra's algorithm finds the path
// over the edges that exist. This is the sparse variant in R. Jonker and A.
// Volgenant, A Shortest Augmenting Path Algorithm for Dense and Sparse Linear
// Assignment Problems, Computing 38 (1987). Staying unmatched is a column that
// only that row can reach.
//
// The time is O(rows · edges · log columns) at worst. Where most rows find a
// free column nearby, it is close to linear in the edges.
func (g *Graph) Assign() (Matching, error) {
	if g.err != nil {
		return Matching{}, g.err
	}
	s := solver{Graph: g, columnOf: filledWithNone(g.Rows()), rowOf: filledWithNone(g.columns), price: make([]int64, g.columns),
		distance: make([]int64, g.columns), viaRow: make([]int32, g.columns), seenIn: make([]int32, g.columns),
		rowCost: make([]int64, g.Rows())}
	for i := range s.columnOf {
		s.addRow(int32(i))
	}
	m := Matching{ColumnOf: make([]int, g.Rows()), RowOf: make([]int, g.columns), Prices: s.price}
	for j, i := range s.rowOf {
		m.RowOf[j] = int(i)
	}

	for i, j := range s.columnOf {
		m.ColumnOf[i] = int(j)
		m.Cost += s.rowCost[i]
	}

	return m, nil
}

// filledWithNone returns n times Unmatched.
func filledWithNone(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = Unmatched
	}
	return out
}

// solver is a matching in progress. It keeps three invariants. Every price is 0
// or less. A column without a row has the price 0. Counting prices, no row that
// was added has a cheaper choice than its current one.
type solver struct {
	*Graph

	columnOf []int32 // By row.
	rowOf    []int32 // By column.
	price    []int64 // By column.
	rowCost  []int64 // What each row costs now.

	// The current search: how far each column is from the new row, through
	// which row, and in which search (from 1) that was found.
	distance []int64
	viaRow   []int32
	seenIn   []int32
	frontier minheap.Heap
	settled  []int32 // Columns whose distance is final.
}

// addRow finds a place for row i. Other rows may have to move to other columns.
func (s *solver) addRow(i int32) {
	s.frontier, s.settled = s.frontier[:0], s.settled[:0]
	mark := i + 1

	// The nearest end so far: a row that stays unmatched, or a free column.
	best, alone, end := s.skipCost[i], i, int32(Unmatched)
	row, base := i, int64(0)
	for {
		for e := s.edgeStart[row]; e < s.edgeStart[row+1]; e++ {
			j := s.edgeColumn[e]
			d := base + s.edgeCost[e] - s.price[j]
			if d >= best || (s.seenIn[j] == mark && d >= s.distance[j]) {
				continue
			}
			s.seenIn[j], s.distance[j], s.viaRow[j] = mark, d, row

			if s.rowOf[j] == Unmatched {
				best, alone, end = d, Unmatched, j
			} else {
				s.frontier.Push(d, j)
			}
		}

		j, d, ok := s.popNearest()
		if !ok || d >= best {
			break
		}
		s.settled = append(s.settled, j)

		row = s.rowOf[j]
		base = d - (s.rowCost[row] - s.price[j])
		if d := base + s.skipCost[row]; d < best {
			best, alone, end = d, row, Unmatched
		}
	}

	for _, j := range s.settled {
		s.price[j] += s.distance[j] - best
	}
	s.augmentPath(i, alone, end)
}

// popNearest takes the nearest column whose distance is not final yet.
func (s *solver) popNearest() (j int32, d int64, ok bool) {
	for len(s.frontier) > 0 {
		d, j = s.frontier.Pop()
		if d == s.distance[j] { // Otherwise a shorter path was found since.
			return j, d, true
		}
	}
	return 0, 0, false
}

// augmentPath moves the rows along the path that was found. Each takes the
// column behind it, and the last row takes the end. If the path ends in a row
// that becomes unmatched, that row gives up its column first.
func (s *solver) augmentPath(first, alone, end int32) {
	if alone != Unmatched { // It gives its column to the row that came for it.
		end, s.columnOf[alone] = s.columnOf[alone], Unmatched
		s.rowCost[alone] = s.skipCost[alone]
		if alone == first {
			return
		}
	}

	for {
		row := s.viaRow[end]
		next := s.columnOf[row]
		s.columnOf[row], s.rowOf[end] = end, row
		s.rowCost[row] = s.cheapestEdge(row, end)
		if row == first {
			return
		}
		end = next
	}
}

// cheapestEdge returns the cost of the cheapest edge from row to column.
func (s *solver) cheapestEdge(row, column int32) int64 {
	least := MaxCost + 1
	for e := s.edgeStart[row]; e < s.edgeStart[row+1]; e++ {
		if s.edgeColumn[e] == column {
			least = min(least, s.edgeCost[e])
		}
	}
	return least
}
