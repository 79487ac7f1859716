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
	columns int
	starts  []int32 // of each row's edges, and where the last row's end
	to      []int32
	cost    []int64
	skip    []int64
	err     error
}

// NewGraph is a graph without rows over a number of columns.
func NewGraph(columns int) *Graph { return &Graph{columns: columns, starts: []int32{0}} }

// Row begins the next row; Edge adds to it. Without a partner it costs skip.
func (g *Graph) Row(skip int64) {
	g.check(skip)
	g.skip = append(g.skip, skip)
	g.starts = append(g.starts, int32(len(g.to)))
}

// ErrGraph is what a graph with a column out of range, a cost beyond MaxCost or
// an edge before the first row gets.
var ErrGraph = errors.New("not a graph that can be matched")

// Edge says that the current row may be paired with a column at a cost. Of two
// edges to one column the cheaper counts.
func (g *Graph) Edge(column int, cost int64) {
	g.check(cost)

	switch {
	case column < 0 || column >= g.columns:
		g.err = fmt.Errorf("%w: column %d of %d", ErrGraph, column, g.columns)
	case len(g.skip) == 0:
		g.err = fmt.Errorf("%w: an edge before the first row", ErrGraph)
	}

	g.to = append(g.to, int32(column))
	g.cost = append(g.cost, cost)
	g.starts[len(g.starts)-1] = int32(len(g.to))
}

func (g *Graph) check(cost int64) {
	if cost > MaxCost || cost < -MaxCost {
		g.err = fmt.Errorf("%w: a cost of %d", ErrGraph, cost)
	}
}

// Rows and Columns are how many there are.
func (g *Graph) Rows() int    { return len(g.skip) }
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
	s := solver{Graph: g, row: filled(g.Rows()), column: filled(g.columns), price: make([]int64, g.columns),
		dist: make([]int64, g.columns), from: make([]int32, g.columns), seen: make([]int32, g.columns),
		paid: make([]int64, g.Rows())}
	for i := range s.row {
		s.add(int32(i))
	}
	m := Matching{Row: make([]int, g.Rows()), Column: make([]int, g.columns), Prices: s.price}
	for j, i := range s.column {
		m.Column[j] = int(i)
	}

	for i, j := range s.row {
		m.Row[i] = int(j)
		m.Cost += s.paid[i]
	}

	return m, nil
}

func filled(n int) []int32 {
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
	row, column []int32
	price       []int64
	paid        []int64 // what each row costs now

	// One search: how far each column is from the new row, through which row,
	// and in which search that was found.
	dist []int64
	from []int32
	seen []int32 // number of the search, from 1
	open minheap.Heap
	done []int32 // columns whose distance is final
}

// add finds a place for row i, for which others may have to move on.
func (s *solver) add(i int32) {
	s.open, s.done = s.open[:0], s.done[:0]
	mark := i + 1

	// the nearest end so far: a row that stays alone, or a free column
	best, alone, end := s.skip[i], i, int32(None)
	row, base := i, int64(0)
	for {
		for e := s.starts[row]; e < s.starts[row+1]; e++ {
			j := s.to[e]
			d := base + s.cost[e] - s.price[j]
			if d >= best || (s.seen[j] == mark && d >= s.dist[j]) {
				continue
			}
			s.seen[j], s.dist[j], s.from[j] = mark, d, row

			if s.column[j] == None {
				best, alone, end = d, None, j
			} else {
				s.open.Push(d, j)
			}
		}

		j, d, ok := s.nearest()
		if !ok || d >= best {
			break
		}
		s.done = append(s.done, j)

		row = s.column[j]
		base = d - (s.paid[row] - s.price[j])
		if d := base + s.skip[row]; d < best {
			best, alone, end = d, row, None
		}
	}

	for _, j := range s.done {
		s.price[j] += s.dist[j] - best
	}
	s.augment(i, alone, end)
}

// nearest takes the nearest column whose distance is not final yet.
func (s *solver) nearest() (j int32, d int64, ok bool) {
	for len(s.open) > 0 {
		d, j = s.open.Pop()
		if d == s.dist[j] { // else it was reached by a shorter way since
			return j, d, true
		}
	}
	return 0, 0, false
}

// augment moves the rows along the way that was found: each takes the column
// behind it, the last one the end.
func (s *solver) augment(first, alone, end int32) {
	if alone != None { // it gives its column to the row that came for it
		end, s.row[alone] = s.row[alone], None
		s.paid[alone] = s.skip[alone]
		if alone == first {
			return
		}
	}

	for {
		row := s.from[end]
		next := s.row[row]
		s.row[row], s.column[end] = end, row
		s.paid[row] = s.costOf(row, end)
		if row == first {
			return
		}
		end = next
	}
}

func (s *solver) costOf(row, column int32) int64 {
	least := MaxCost + 1
	for e := s.starts[row]; e < s.starts[row+1]; e++ {
		if s.to[e] == column {
			least = min(least, s.cost[e])
		}
	}
	return least
}
