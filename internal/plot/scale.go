package plot

import (
	"math"
	"strconv"
)

// scale maps values to positions on an axis, from 0 to 1.
type scale struct {
	log       bool
	low, high float64 // their decimal logarithms when log
	step      float64 // between two ticks of a linear one
}

// maxTicks limits the ticks of a linear axis, so that their labels fit.
const maxTicks = 10

// scaleFor returns a scale that holds all values.
func (a Axis) scaleFor(values []float64) scale {
	if a.Log {
		return logScale(append(values, a.Start, a.End))
	}

	high := a.End
	for _, v := range values {
		high = max(high, v)
	}
	if high <= 0 {
		high = 1
	}
	step := niceStep(high / maxTicks)
	return scale{high: step * math.Ceil(high/step-1e-9), step: step}
}

// logScale ignores values of 0 or less.
func logScale(values []float64) scale {
	least, most := math.Inf(1), 0.0
	for _, v := range values {
		if v > 0 {
			least, most = min(least, v), max(most, v)
		}
	}

	if most == 0 {
		least, most = 1, 1
	}
	s := scale{log: true, low: math.Floor(math.Log10(least) + 1e-9), high: math.Ceil(math.Log10(most) - 1e-9)}
	if s.high > s.low && s.isShort() {
		s.high = math.Log10(niceStep(most))
	}
	s.high = max(s.high, s.low+1)
	return s
}

// isShort reports whether a logarithmic axis has room for 2 and 5 times each
// power of ten.
func (s scale) isShort() bool { return s.high-s.low <= 3 }

// niceStep returns the least 1, 2 or 5 times a power of ten that is not below
// least.
func niceStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, nice := range []float64{1, 2, 5} {
		if nice*power >= least*(1-1e-9) {
			return nice * power
		}
	}
	return 10 * power
}

// canPlace reports whether a value can be drawn on the axis.
func (s scale) canPlace(v float64) bool { return !s.log || v > 0 }

// holds reports whether a value lies on the axis.
func (s scale) holds(v float64) bool {
	share := s.shareOf(v)
	return -1e-9 <= share && share <= 1+1e-9
}

// leastValue returns the value at the axis' beginning.
func (s scale) leastValue() float64 {
	if s.log {
		return math.Pow(10, s.low)
	}
	return s.low
}

// shareOf returns the position of a value on the axis, from 0 to 1.
func (s scale) shareOf(v float64) float64 {
	if s.log {
		v = math.Log10(v)
	}
	return (v - s.low) / (s.high - s.low)
}

func (s scale) tickValues() (out []float64) {
	if s.log {
		return s.logTicks()
	}
	for i := range int(math.Round((s.high-s.low)/s.step)) + 1 {
		out = append(out, math.Round((s.low+float64(i)*s.step)*1e9)/1e9)
	}
	return out
}

func (s scale) logTicks() (out []float64) {
	digits := []float64{1, 2, 5}
	if !s.isShort() {
		digits = digits[:1]
	}
	for power := int(s.low); float64(power) <= s.high; power++ {
		for _, digit := range digits {
			if at := digit * math.Pow10(power); math.Log10(at) <= s.high+1e-9 {
				out = append(out, at)
			}
		}
	}
	return out
}

// formatTick writes a round number in few letters: 20k, 5M, 1e-06.
func formatTick(v float64) string {
	for _, unit := range []struct {
		from, size float64
		name       string
	}{{1e9, 1e9, "G"}, {1e6, 1e6, "M"}, {1e4, 1e3, "k"}} {
		if v >= unit.from {
			return strconv.FormatFloat(v/unit.size, 'g', 6, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// formatHeight writes a value with three digits: 1.03k, 24.8M.
func formatHeight(v float64) string {
	if v < 1e3 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	power := min(3, int(math.Log10(v)+1e-9)/3)
	return strconv.FormatFloat(v/math.Pow10(3*power), 'g', 3, 64) + " kMG"[power:power+1]
}
