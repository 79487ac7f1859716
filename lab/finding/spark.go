package finding

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/ridehail/ridehail/internal/plot"
)

// sparkCells is the greatest length of a sparkline.
const sparkCells = 32

// sparkline returns the chart's first measured curve, or its bars, as a line of
// blocks with its scale in words. It is empty for a chart without two points.
func (f Finding) sparkline() []string {
	name, values, across := f.sparkValues()
	if name == "" {
		name = f.Chart.Y.Name
	}
	if f.Chart.Y.Log {
		values = slices.DeleteFunc(values, func(v float64) bool { return v <= 0 })
	}
	if len(values) < 2 {
		return nil
	}

	low, high, how := 0.0, slices.Max(values), ""
	height := func(v float64) float64 { return v / high }
	if f.Chart.Y.Log {
		low, how = math.Pow(10, math.Floor(math.Log10(slices.Min(values)))), " (log)"
		height = func(v float64) float64 { return math.Log(v/low) / math.Log(high/low) }
	}
	if high <= low {
		return nil // all are 0, or one power of ten
	}

	blocks := []rune("▁▂▃▄▅▆▇█")
	line := make([]rune, 0, sparkCells)
	for _, v := range shrinkTo(values, sparkCells) {
		line = append(line, blocks[min(len(blocks)-1, max(0, int(height(v)*float64(len(blocks)))))])
	}
	return wrapText(fmt.Sprintf("%s %s: %s %s to %s%s", string(line), across, name, formatShort(low), formatShort(high), how), "  ")
}

// sparkValues returns what the sparkline shows and its x axis in words.
func (f Finding) sparkValues() (name string, values []float64, across string) {
	for _, p := range f.Chart.Panels {
		for _, c := range p.Curves {
			if c.Style != plot.Measured || len(c.Points) < 2 {
				continue
			}
			points := slices.SortedStableFunc(slices.Values(c.Points), func(a, b plot.Point) int { return cmp.Compare(a.X, b.X) })
			for _, at := range points {
				values = append(values, at.Y)
			}
			return c.Name, values, fmt.Sprintf("%s %s to %s", f.Chart.X.Name, formatShort(points[0].X), formatShort(points[len(points)-1].X))
		}

		bars := slices.DeleteFunc(slices.Clone(p.Bars), func(b plot.Bar) bool {
			return b.Style != plot.Measured || b.Group != p.Bars[0].Group && hasName(p.Bars, b)
		})
		if len(bars) > 1 {
			for _, b := range bars {
				values = append(values, b.Height)
			}
			return "", values, bars[0].Name + " to " + bars[len(bars)-1].Name
		}
	}
	return "", nil, ""
}

// hasName reports whether the first group has a bar of the same name: then the
// other one is left out.
func hasName(bars []plot.Bar, of plot.Bar) bool {
	return slices.ContainsFunc(bars, func(b plot.Bar) bool { return b.Group == bars[0].Group && b.Name == of.Name })
}

// shrinkTo returns at most n values: means of neighbours.
func shrinkTo(values []float64, n int) []float64 {
	if len(values) <= n {
		return values
	}

	out := make([]float64, n)
	for i := range out {
		from, to := i*len(values)/n, (i+1)*len(values)/n
		for _, v := range values[from:to] {
			out[i] += v
		}
		out[i] /= float64(to - from)
	}
	return out
}

// formatShort writes a number, with three digits unless it is great.
func formatShort(v float64) string {
	if v >= 1000 && v < 1e9 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
