package storm

import (
	"fmt"
	"strings"

	"github.com/ridehail/ridehail/internal/plot"
)

func formatJitter(on bool) string {
	if on {
		return "with jitter"
	}
	return "without jitter"
}

// stormSentence words the answer.
func stormSentence(f StormFigures) string {
	var parts []string
	for _, s := range f.Storms {
		part := fmt.Sprintf("%s %d of %d phones are back, 99 of 100 within %.1f s, while Postgres gets at most %.1f times its steady statements",
			formatJitter(s.Jitter), s.Back, f.Phones, s.P99, s.Times)
		if s.TimesCPU > 0 {
			part += fmt.Sprintf(" and uses %.1f times its steady processor time", s.TimesCPU)
		}
		parts = append(parts, part)
	}

	text := strings.Join(parts, "; ") + "."
	return strings.ToUpper(text[:1]) + text[1:]
}

func stormTable(f StormFigures) [][]string {
	table := [][]string{{"storm", "back", "p50", "p99", "max", "told when to come back", "failed otherwise", "statements/s: steady",
		"peak", "times", "Postgres CPUs: steady", "peak", "node MB: before", "peak"}}
	for _, s := range f.Storms {
		table = append(table, []string{formatJitter(s.Jitter), fmt.Sprint(s.Back), fmt.Sprintf("%.2f s", s.P50), fmt.Sprintf("%.2f s", s.P99),
			fmt.Sprintf("%.2f s", s.Max), fmt.Sprint(s.Refused), fmt.Sprint(s.Failed), fmt.Sprintf("%.0f (up to %.0f)", s.Steady, s.SteadyPeak),
			fmt.Sprintf("%.0f", s.Peak), fmt.Sprintf("%.2f", s.Times), fmt.Sprintf("%.2f", s.SteadyCPU), fmt.Sprintf("%.2f", s.PeakCPU),
			fmt.Sprintf("%.0f", s.MemoryMB), fmt.Sprintf("%.0f", s.PeakMB)})
	}
	return table
}

// stormChart shows the seconds after the cut.
func stormChart(f StormFigures) plot.Chart {
	c := plot.Chart{X: plot.Axis{Name: "seconds since the cut"}, Y: plot.Axis{Name: "phones, statements a second", Log: true}}
	for _, s := range f.Storms {
		away := plot.Curve{Name: "phones away", Dots: true, Points: []plot.Point{{X: 0, Y: float64(f.Phones)}}}
		asked, steady := plot.Curve{Name: "statements/s", Dots: true}, plot.Curve{Name: "steady"}
		for i, n := range s.Away {
			away.Points = append(away.Points, plot.Point{X: float64(i + 1), Y: float64(n)})
		}

		for i, n := range s.Statements {
			asked.Points = append(asked.Points, plot.Point{X: float64(i) + .5, Y: n})
			steady.Points = append(steady.Points, plot.Point{X: float64(i) + .5, Y: s.Steady})
		}

		c.Panels = append(c.Panels, plot.Panel{Name: formatJitter(s.Jitter), Curves: []plot.Curve{away, asked, steady}})
	}
	return c
}
