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

// fitAmdahl returns the law with the least squares of relative errors, for what
// one worker does.
func fitAmdahl(one float64, workers []int, perSec []float64) amdahl {
	rows, wants := lineariseSpeeds(one, workers, perSec)
	var products, squares float64
	for i, row := range rows {
		products += row[0] * wants[i]
		squares += row[0] * row[0]
	}
	return amdahl{one, min(1, max(0, products/squares))}
}

// fitUSL is fitAmdahl for Gunther's law. Where the best cost of a pair would be
// below 0, it is 0.
func fitUSL(one float64, workers []int, perSec []float64) usl {
	rows, wants := lineariseSpeeds(one, workers, perSec)
	var aa, ab, bb, ay, by float64
	for i, row := range rows {
		aa, ab, bb = aa+row[0]*row[0], ab+row[0]*row[1], bb+row[1]*row[1]
		ay, by = ay+row[0]*wants[i], by+row[1]*wants[i]
	}

	serial, pairs := (ay*bb-by*ab)/(aa*bb-ab*ab), (by*aa-ay*ab)/(aa*bb-ab*ab)
	if pairs < 0 || serial < 0 || math.IsNaN(pairs) {
		return usl{one, fitAmdahl(one, workers, perSec).serial, 0}
	}
	return usl{one, serial, pairs}
}

// lineariseSpeeds turns the law into one (w / throughput) - 1 = serial (w-1) +
// pairs w (w-1), divided by w / throughput, so that errors are relative.
func lineariseSpeeds(one float64, workers []int, perSec []float64) (rows [][2]float64, wants []float64) {
	for i, n := range workers {
		w := float64(n)
		y := one * w / perSec[i]
		rows, wants = append(rows, [2]float64{(w - 1) / y, w * (w - 1) / y}), append(wants, (y-1)/y)
	}
	return rows, wants
}
