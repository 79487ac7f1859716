package plot

import "math"

// scale maps values to positions on an axis, from 0 to 1.
type scale struct {
	log       bool
	low, high float64 // powers of ten when log
	step      float64 // between two ticks
}

// maxTicks limits the ticks of a linear axis, so that their labels fit.
const maxTicks = 10

// scaleFor returns a scale that holds all values.
func (a Axis) scaleFor(values []float64) scale {
	if a.Log {
		return logScale(append(values, a.End))
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
	s := scale{log: true, low: math.Floor(math.Log10(least)), high: math.Ceil(math.Log10(most)), step: 1}
	s.high = max(s.high, s.low+1)
	return s
}

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

// shareOf returns the position of a value on the axis, from 0 to 1.
func (s scale) shareOf(v float64) float64 {
	if s.log {
		v = math.Log10(v)
	}
	return (v - s.low) / (s.high - s.low)
}

func (s scale) tickValues() (out []float64) {
	for i := range int(math.Round((s.high-s.low)/s.step)) + 1 {
		at := s.low + float64(i)*s.step
		if s.log {
			at = math.Pow10(int(at))
		}
		out = append(out, math.Round(at*1e9)/1e9)
	}
	return out
}
