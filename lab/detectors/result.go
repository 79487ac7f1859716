package detectors

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/lab/finding"
)

// The claims' bounds.
const (
	linksApart  = 2    // times the timeout
	withinNoise = 0.95 // of a timeout's false alarms
	savesMixed  = 0.95 // of a timeout's false alarms
)

func buildResult(v finding.Values, points []detectorPoint, field []entrant) finding.Result {
	beats := fmt.Sprintf("%d heartbeats on each link", v.Int("hours")*int(beatsPerHour))
	return finding.Result{
		Seen:   optionSeen(points, v.Number("target")),
		Table:  peoplesTable(points),
		Detail: wholeTable(points),
		Chart:  drawChart(v, points),
		Claims: judgeDetectors(v, points),
		Notice: wordNotices(v, points),
		Parts: []finding.Part{{Name: "internal/detector", Where: "this process", Count: "3 grades of silence"},
			{Name: "lab/accrual", Where: "this process", Count: fmt.Sprintf("%d detectors, %s", len(field), beats)}},
		Figures: figures{points},
	}
}

// figures are what a run measured.
type figures struct {
	Points []detectorPoint `json:"points"`
}

// pointsOf returns the points of one detector on one link, by rising settings.
func pointsOf(points []detectorPoint, link, detector string) []detectorPoint {
	return slices.DeleteFunc(slices.Clone(points), func(p detectorPoint) bool { return p.Link != link || p.Detector != detector })
}

// timeoutFor returns the shortest timeout, in seconds, that raises no more than
// so many false alarms an hour. ok is false if none does.
func timeoutFor(points []detectorPoint, link string, target float64) (seconds float64, ok bool) {
	for _, p := range pointsOf(points, link, fixedTimeout) {
		if p.PerHour <= target {
			return p.level, true
		}
	}
	return longestTimeout.Seconds(), false
}

func optionSeen(points []detectorPoint, target float64) int {
	good, _ := timeoutFor(points, goodLink, target)
	bad, ok := timeoutFor(points, badLink, target)
	switch times := bad / good; {
	case !ok:
		return 3
	case times < 1.4:
		return 0
	case times < 2.8:
		return 1
	}
	return 2
}

// halvingCost returns how many seconds of waiting halve the false alarms,
// between the app's first two grades.
func halvingCost(points []detectorPoint, link string) float64 {
	fixed := pointsOf(points, link, fixedTimeout)
	at := func(app string) detectorPoint {
		return fixed[slices.IndexFunc(fixed, func(p detectorPoint) bool { return p.App == app })]
	}
	suspect, offline := at("suspect"), at("offline")

	// An alarm that never came counts as half of one, so that there is a cost.
	halvings := math.Log2(math.Max(0.5, float64(suspect.False)) / math.Max(0.5, float64(offline.False)))
	return (offline.level - suspect.level) / halvings
}

func judgeDetectors(v finding.Values, points []detectorPoint) []finding.Claim {
	good, _ := timeoutFor(points, goodLink, v.Number("target"))
	bad, ok := timeoutFor(points, badLink, v.Number("target"))
	reached := formatSeconds(bad)
	if !ok {
		reached = "over " + reached
	}

	halfGood, halfBad := halvingCost(points, goodLink), halvingCost(points, badLink)
	alike, okAlike := phiRatio(points, goodLink, badLink)
	mixed, okMixed := phiRatio(points, mixedFleet)
	return []finding.Claim{
		{Text: "no timeout suits both links", Law: "long tails", Source: "Chandra, Toueg 1996", Exact: true,
			Want: fmt.Sprintf(">= %dx", linksApart), Got: formatSeconds(good) + ", " + reached, Holds: bad >= linksApart*good},
		{Text: "halving alarms costs more on the bad", Law: "heavier tail", Source: "Chen 2002", Exact: true,
			Want: "more", Got: fmt.Sprintf("%.1f s, %.1f s", halfGood, halfBad), Holds: halfBad > halfGood},
		{Text: "phi saves nothing on links alike", Law: "no forewarning", Source: "SRDS 2004", Exact: true,
			Want: fmt.Sprintf(">= %g", withinNoise), Got: fmt.Sprintf("%.2f of them", alike), Holds: okAlike && alike >= withinNoise},
		{Text: "phi saves where links differ", Law: "it learns each link", Source: "SRDS 2004", Exact: true,
			Want: fmt.Sprintf("<= %g", savesMixed), Got: fmt.Sprintf("%.2f of them", mixed), Holds: okMixed && mixed <= savesMixed},
	}
}

// phiRatio returns how many false alarms the better phi raises on some links, in
// those of a timeout that finds deaths as soon: the median over its settings,
// since a single one may be rare luck. ok is false if none can be compared.
func phiRatio(points []detectorPoint, links ...string) (ratio float64, ok bool) {
	ratio = math.Inf(1)
	for _, link := range links {
		for _, detector := range []string{phiPaper, phiAkka} {
			var ratios []float64
			for _, p := range pointsOf(points, link, detector) {
				if p.Ratio > 0 {
					ratios = append(ratios, p.Ratio)
				}
			}
			if len(ratios) > 0 {
				ratio, ok = min(ratio, quantile.Sort(ratios).At(.5)), true
			}
		}
	}
	return ratio, ok
}

const beatsPerHour = float64(time.Hour / heartbeatInterval)

func wordNotices(v finding.Values, points []detectorPoint) []string {
	phi := pointsOf(points, goodLink, phiPaper)
	eight := phi[slices.IndexFunc(phi, func(p detectorPoint) bool { return p.level == 8 })]
	alike, _ := phiRatio(points, goodLink, badLink)
	mixed, _ := phiRatio(points, mixedFleet)

	return []string{
		fmt.Sprintf("One more second of waiting leaves %.0f %% of the false alarms on the good link, %.0f %% on the bad.",
			100*math.Exp2(-1/halvingCost(points, goodLink)), 100*math.Exp2(-1/halvingCost(points, badLink))),
		fmt.Sprintf("Phi is how unlikely a silence is, in powers of ten. Phi 8, 1 in 10^8, erred in 1 of %.0f silences.",
			float64(v.Int("hours"))*beatsPerHour/float64(max(1, eight.False))),
		fmt.Sprintf("Phi raises x%.2f the false alarms of a timeout as fast where links are alike, x%.2f on a mixed fleet.", alike, mixed),
	}
}

// shownTimeouts are the timeouts in the table for people.
var shownTimeouts = []string{"2s", "3s", "5s", "10s", "15s", "20s", "30s"}

// peoplesTable has a few timeouts, and phi as Akka sets it.
func peoplesTable(points []detectorPoint) finding.Table {
	out := finding.Table{Columns: []string{"silent for", "the app", "good: found", "false/hour", "bad: found", "false/hour", "mixed: false/hour"}}
	for i, good := range pointsOf(points, goodLink, fixedTimeout) {
		if slices.Contains(shownTimeouts, good.Setting) {
			out.Rows = append(out.Rows, peoplesRow(good, pointsOf(points, badLink, fixedTimeout)[i], pointsOf(points, mixedFleet, fixedTimeout)[i]))
		}
	}

	akka := func(link string) detectorPoint {
		phi := pointsOf(points, link, phiAkka)
		return phi[slices.IndexFunc(phi, func(p detectorPoint) bool { return p.Setting == akkaDefault })]
	}
	out.Rows = append(out.Rows, peoplesRow(akka(goodLink), akka(badLink), akka(mixedFleet)))
	return out
}

func peoplesRow(good, bad, mixed detectorPoint) []string {
	return []string{good.Setting, good.App, formatSeconds(good.Mean), formatRate(good.PerHour), formatSeconds(bad.Mean), formatRate(bad.PerHour),
		formatRate(mixed.PerHour)}
}

func formatSeconds(s float64) string { return strconv.FormatFloat(roundTo(s, 1), 'f', -1, 64) + " s" }

func formatRate(perHour float64) string { return fmt.Sprintf("%.3f", perHour) }

// wholeTable has every setting on every link.
func wholeTable(points []detectorPoint) finding.Table {
	out := finding.Table{Columns: []string{"link", "detector", "setting", "detection mean", "p99", "false/driver-hour", "× a timeout", "the app"}}
	for _, p := range points {
		ratio := ""
		if p.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", p.Ratio)
		}
		out.Rows = append(out.Rows, []string{p.Link, p.Detector, p.Setting, fmt.Sprintf("%.2f s", p.Mean), fmt.Sprintf("%.1f s", p.P99),
			fmt.Sprintf("%.4f", p.PerHour), ratio, p.App})
	}
	return out
}

// drawChart adds to the frame what was seen: the fixed timeout on both links,
// and all detectors on the mixed fleet.
func drawChart(v finding.Values, points []detectorPoint) plot.Chart {
	c := emptyChart(v)
	for _, link := range []string{goodLink, badLink} {
		c.Panels[0].Curves = append(c.Panels[0].Curves, drawCurve(link, pointsOf(points, link, fixedTimeout)))
	}
	for _, detector := range []string{fixedTimeout, phiPaper, phiAkka} {
		c.Panels[1].Curves = append(c.Panels[1].Curves, drawCurve(detector, pointsOf(points, mixedFleet, detector)))
	}
	return c
}

func drawCurve(name string, points []detectorPoint) plot.Curve {
	curve := plot.Curve{Name: name, Dots: true}
	for _, p := range points {
		curve.Points = append(curve.Points, plot.Point{X: p.Mean, Y: p.PerHour, Mark: p.App})
	}
	return curve
}
