package memory

import "math"

// amdahl is Amdahl's law (1967) as throughput: what one worker does, and the
// share of the work that only one worker at a time can do. For locks that are
// visited at random it is also the law of a closed queueing network with equal
// stations (Gordon and Newell 1967), with a share of 1 / locks.
type amdahl struct{ one, serial float64 }

func (a amdahl) at(workers float64) float64 { return usl{a.one, a.serial, 0}.at(workers) }

// usl is Gunther's universal scalability law (1993): Amdahl's, and a cost for
// each pair of workers that must agree.
type usl struct{ one, serial, pairs float64 }

func (u usl) at(workers float64) float64 {
	return u.one * workers / (1 + u.serial*(workers-1) + u.pairs*workers*(workers-1))
}

// fitAmdahl returns the law with the least squares of relative errors.
func fitAmdahl(workers []int, perSec []float64) amdahl {
	u := fit(workers, perSec, 2)
	return amdahl{u.one, u.serial}
}

// fitUSL is fitAmdahl for Gunther's law. Where the best cost of a pair would be
// below 0, it is 0.
func fitUSL(workers []int, perSec []float64) usl {
	if u := fit(workers, perSec, 3); u.pairs >= 0 {
		return u
	}
	a := fitAmdahl(workers, perSec)
	return usl{a.one, a.serial, 0}
}

// fit solves workers / throughput = (1 + serial (w-1) + pairs w (w-1)) / one,
// which is linear in the three coefficients, by its normal equations.
func fit(workers []int, perSec []float64, terms int) usl {
	var sums [3][4]float64
	for i, n := range workers {
		w := float64(n)
		y := w / perSec[i]
		row := [3]float64{1 / y, (w - 1) / y, w * (w - 1) / y} // divided by y: relative errors
		for a := range terms {
			for b := range terms {
				sums[a][b] += row[a] * row[b]
			}
			sums[a][3] += row[a]
		}
	}

	x := solve(sums, terms)
	return usl{one: 1 / x[0], serial: min(1, max(0, x[1]/x[0])), pairs: x[2] / x[0]}
}

// solve is Gauss's elimination with pivots. Unknowns beyond n are 0.
func solve(m [3][4]float64, n int) (x [3]float64) {
	for c := range n {
		best := c
		for r := c + 1; r < n; r++ {
			if math.Abs(m[r][c]) > math.Abs(m[best][c]) {
				best = r
			}
		}
		m[c], m[best] = m[best], m[c]
		for r := c + 1; r < n; r++ {
			factor := m[r][c] / m[c][c]
			for k := range m[r] {
				m[r][k] -= factor * m[c][k]
			}
		}
	}

	for r := n - 1; r >= 0; r-- {
		x[r] = m[r][3]
		for k := r + 1; k < n; k++ {
			x[r] -= m[r][k] * x[k]
		}
		x[r] /= m[r][r]
	}
	return x
}
