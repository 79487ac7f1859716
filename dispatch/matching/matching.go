// Package matching pairs those who ask with those who can serve at the least
// total cost, exactly, on a sparse graph. It knows nothing of trips or drivers
// and uses no clock: the same graph gives the same pairs.
package matching

import (
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/internal/minheap"
)

// MaxCost bounds every cost of a graph, in either direction, so that no sum
// along a path can overflow.
const MaxCost = int64(1) << 40

// None stands for the partner of somebody without one.
const None = -1

// Graph is what to choose from: who asks (the rows), who can serve (the
// columns, by number), and what each pair would cost. A row without a pair pays
// a price of its own, so that leaving somebody out is a choice like any other.
type Graph struct {
	columns    int
	edgeStart  []int32 // of each row's edges, and where the last row's end
	edgeColumn []int32
	edgeCost   []int64
	skipCost   []int64
	err        error
}

// NewGraph is a graph without rows over a number of columns.
func NewGraph(columns int) *Graph { return &Graph{columns: columns, edgeStart: []int32{0}} }

// Row begins the next row; Edge adds to it. Without a partner it costs skip.
func (g *Graph) Row(skip int64) {
	g.checkCost(skip)
	g.skipCost = append(g.skipCost, skip)
	g.edgeStart = append(g.edgeStart, int32(len(g.edgeColumn)))
}

// ErrGraph is what a graph with a column out of range, a cost beyond MaxCost or
// an edge before the first row gets.
var ErrGraph = errors.New("not a graph that can be matched")

// Edge says that the current row may be paired with a column at a cost. Of two
// edges to one column the cheaper counts.
func (g *Graph) Edge(column int, cost int64) {
	g.checkCost(cost)

	switch {
	case column < 0 || column >= g.columns:
		g.err = fmt.Errorf("%w: column %d of %d", ErrGraph, column, g.columns)
	case len(g.skipCost) == 0:
		g.err = fmt.Errorf("%w: an edge before the first row", ErrGraph)
	}

	g.edgeColumn = append(g.edgeColumn, int32(column))
	g.edgeCost = append(g.edgeCost, cost)
	g.edgeStart[len(g.edgeStart)-1] = int32(len(g.edgeColumn))
}

func (g *Graph) checkCost(cost int64) {
	if cost > MaxCost || cost < -MaxCost {
		g.err = fmt.Errorf("%w: a cost of %d", ErrGraph, cost)
	}
}

// Rows and Columns are how many there are.
func (g *Graph) Rows() int    { return len(g.skipCost) }
func (g *Graph) Columns() int { return g.columns }

// Matching is the answer: a partner for each row and column, or None, and what
// it costs in all. Prices prove that nothing is cheaper; see Graph.Proves.
type Matching struct {
	Row    []int // the column of each row
	Column []int // the row of each column
	Cost   int64 // of the pairs, and of the rows without one
	Prices []int64
}

// Assign finds the pairs of least total cost, each row and each column in one
// pair at most.
//
// It adds one row after the other, each along the shortest augmenting path
// under the prices so far, found by Dijkstra's algorithm over the edges that
// exist: R. Jonker, A. Volgenant, A shortest augmenting path algorithm for
// dense and sparse linear assignment problems, Computing 38 (1987). A row's own
// price for staying alone is a column that only it can reach. Time is O(rows ·
// edges · log columns) at worst; where most rows find a free column nearby it
// is close to linear in the edges.
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
	m := Matching{Row: make([]int, g.Rows()), Column: make([]int, g.columns), Prices: s.price}
	for j, i := range s.rowOf {
		m.Column[j] = int(i)
	}

	for i, j := range s.columnOf {
		m.Row[i] = int(j)
		m.Cost += s.rowCost[i]
	}

	return m, nil
}

func filledWithNone(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = None
	}
	return out
}

// solver is a matching under way. Every price is 0 or less, that of a column
// without a row is 0, and no pair of a row added already is cheaper, prices
// counted, than the one it has.
type solver struct {
	*Graph
	columnOf, rowOf []int32
	price           []int64
	rowCost         []int64 // what each row costs now

	// One search: how far each column is from the new row, through which row,
	// and in which search that was found.
	distance []int64
	viaRow   []int32
	seenIn   []int32 // number of the search, from 1
	frontier minheap.Heap
	settled  []int32 // columns whose distance is final
}

// addRow finds a place for row i, for which others may have to move on.
func (s *solver) addRow(i int32) {
	s.frontier, s.settled = s.frontier[:0], s.settled[:0]
	mark := i + 1

	// the nearest end so far: a row that stays alone, or a free column
	best, alone, end := s.skipCost[i], i, int32(None)
	row, base := i, int64(0)
	for {
		for e := s.edgeStart[row]; e < s.edgeStart[row+1]; e++ {
			j := s.edgeColumn[e]
			d := base + s.edgeCost[e] - s.price[j]
			if d >= best || (s.seenIn[j] == mark && d >= s.distance[j]) {
				continue
			}
			s.seenIn[j], s.distance[j], s.viaRow[j] = mark, d, row

			if s.rowOf[j] == None {
				best, alone, end = d, None, j
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
			best, alone, end = d, row, None
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
		if d == s.distance[j] { // else it was reached by a shorter way since
			return j, d, true
		}
	}
	return 0, 0, false
}

// augmentPath moves the rows along the way that was found: each takes the column
// behind it, the last one the end.
func (s *solver) augmentPath(first, alone, end int32) {
	if alone != None { // it gives its column to the row that came for it
		end, s.columnOf[alone] = s.columnOf[alone], None
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

func (s *solver) cheapestEdge(row, column int32) int64 {
	least := MaxCost + 1
	for e := s.edgeStart[row]; e < s.edgeStart[row+1]; e++ {
		if s.edgeColumn[e] == column {
			least = min(least, s.edgeCost[e])
		}
	}
	return least
}
