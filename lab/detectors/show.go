package detectors

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ridehail/ridehail/internal/plot"
)

// formatVerdict returns one sentence that follows from the figures.
func formatVerdict(points []DetectorPoint) string {
	var ranges []string
	alone, mixed := math.Inf(1), 0.0
	for _, link := range linkNames() {
		low, high, ok := ratioRange(points, link)
		if !ok {
			return "Too few false alarms on the " + link + " to compare the detectors: run more hours."
		}
		ranges = append(ranges, fmt.Sprintf("%.2f to %.2f times (%s)", low, high, link))
		if mixed = low; link != mixedFleet {
			alone = min(alone, low)
		}
	}

	why := ""
	if formatSaving(alone) == "nothing" {
		why = ", because the beats before a stall do not foretell it"
	}

	return fmt.Sprintf("At the same mean detection time phi-accrual raises %s the false alarms of a fixed timeout: where all links are "+
		"alike it saves %s%s, and where one setting must do for good and bad links it saves %s.",
		strings.Join(ranges, ", "), formatSaving(alone), why, formatSaving(mixed))
}

// ratioRange returns the range of phi's false alarms per false alarm of a fixed
// timeout.
func ratioRange(points []DetectorPoint, link string) (low, high float64, ok bool) {
	low = math.Inf(1)
	for _, p := range points {
		if p.Link == link && p.Ratio > 0 {
			low, high, ok = min(low, p.Ratio), max(high, p.Ratio), true
		}
	}
	return low, high, ok
}

// formatSaving words a saving. Less than a twentieth is within the noise.
func formatSaving(ratio float64) string {
	if ratio > 0.95 {
		return "nothing"
	}
	return fmt.Sprintf("up to %.0f %%", 100*(1-ratio))
}

func linkNames() (out []string) {
	for _, l := range modelLinks {
		out = append(out, l.name)
	}
	return append(out, mixedFleet)
}

// shownTimeouts are the timeouts in the table for people.
var shownTimeouts = []string{"2s", "3s", "4s", "5s", "6s", "7s", "8s", "10s", "12s", "15s", "20s", "30s"}

func detectorTable(points []DetectorPoint) [][]string {
	out := [][]string{{"link", "detector", "setting", "detection mean", "p99", "false/driver-hour", "× a timeout", ""}}
	for _, p := range points {
		if p.Detector == fixedTimeout && !slices.Contains(shownTimeouts, p.Setting) {
			continue
		}
		ratio := ""
		if p.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", p.Ratio)
		}
		out = append(out, []string{p.Link, p.Detector, p.Setting, fmt.Sprintf("%.2f s", p.Mean), fmt.Sprintf("%.1f s", p.P99),
			fmt.Sprintf("%.4f", p.PerHour), ratio, p.App})
	}
	return out
}

func detectorChart(points []DetectorPoint) plot.Chart {
	c := plot.Chart{X: plot.Axis{Name: "mean detection time, s"}, Y: plot.Axis{Name: "false positives per driver-hour", Log: true}}
	for _, link := range linkNames() {
		panel := plot.Panel{Name: link}
		for _, name := range []string{fixedTimeout, phiPaper, phiAkka} {
			curve := plot.Curve{Name: name, Dots: true}
			for _, p := range points {
				if p.Link == link && p.Detector == name {
					curve.Points = append(curve.Points, plot.Point{X: p.Mean, Y: p.PerHour, Mark: p.App})
				}
			}

			panel.Curves = append(panel.Curves, curve)
		}

		c.Panels = append(c.Panels, panel)
	}

	return c
}
