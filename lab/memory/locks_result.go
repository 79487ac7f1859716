package memory

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// leastGain is what 16 locks, readers and copies must do in locks' work. It is
// far below what the laws give for 32 workers: 10.9, 32 and 32 times.
const leastGain = 2

func locksResult(v finding.Values, curves []curve, app appMoves) finding.Result {
	return finding.Result{
		Seen:   locksSeen(curves),
		Table:  locksTable(v, curves, app, shownWorkers),
		Detail: locksTable(v, curves, app, nil),
		Chart:  locksChart(v, curves),
		Claims: judgeLocks(v, curves),
		Notice: locksNotice(v, curves, app),
		Parts: []finding.Part{{Name: "sharedstate, 1 lock", Count: formatRate(app.oneLock) + " moves a second"},
			{Name: fmt.Sprintf("sharedstate, %d locks", appLocks), Count: formatRate(app.manyLocks) + " moves a second"}},
		Figures: map[string]float64{"app_moves_per_second_1_lock": math.Round(app.oneLock),
			"app_moves_per_second_64_locks": math.Round(app.manyLocks)},
	}
}

func curveOf(curves []curve, name string) curve {
	return curves[slices.IndexFunc(curves, func(c curve) bool { return c.name == name })]
}

// gainOf returns how many times the work of one lock a way does with the most
// workers.
func gainOf(curves []curve, name string) float64 {
	return curveOf(curves, name).lastSpeed() / curveOf(curves, nameLocks(1)).lastSpeed()
}

// locksSeen returns the option in which the gain of 16 locks lies.
func locksSeen(curves []curve) int {
	switch gain := gainOf(curves, nameLocks(16)); {
	case gain < 1.7:
		return 0
	case gain < 6:
		return 1
	case gain < 15:
		return 2
	}
	return 3
}

// shownWorkers are the columns for people, besides the most workers.
var shownWorkers = []int{1, 4, 16}

func locksTable(v finding.Values, curves []curve, app appMoves, shown []int) finding.Table {
	most := v.Int("workers")
	isShown := func(n int) bool { return shown == nil || n == most || slices.Contains(shown, n) }
	out := finding.Table{Columns: []string{"visits a second"}}
	for _, n := range workerSteps(most) {
		if isShown(n) {
			out.Columns = append(out.Columns, strconv.Itoa(n)+" at work")
		}
	}
	out.Columns = append(out.Columns, "bound", "serial share", "law")

	for _, c := range curves {
		row := []string{c.name}
		for i, n := range c.workers {
			if isShown(n) {
				row = append(row, formatRate(c.perSec[i]))
			}
		}
		law := ""
		if c.mostAtOnce > 0 {
			law = formatShare(1 / float64(c.mostAtOnce))
		}
		out.Rows = append(out.Rows, append(row, formatRate(boundOf(v, c.way, most)), formatShare(serialShare(curves, c)), law))
	}

	// The app's own state, with no wait: another thing, for the size of it.
	row := make([]string, len(out.Columns))
	row[0], row[len(row)-4] = "app's sharedstate", formatRate(app.manyLocks)
	out.Rows = append(out.Rows, row)
	return out
}

// boundOf returns the most visits a second that physics allows: each visit
// under way takes at least the hold.
func boundOf(v finding.Values, w way, workers int) float64 {
	atOnce := workers
	if w.mostAtOnce > 0 {
		atOnce = min(atOnce, w.mostAtOnce)
	}
	return float64(atOnce) / v.Milliseconds("hold").Seconds()
}

func judgeLocks(v finding.Values, curves []curve) []finding.Claim {
	ofLocks, ofOwner := 0.0, 0.0
	for _, c := range curves {
		for i, n := range c.workers {
			used := c.perSec[i] / boundOf(v, c.way, n)
			if c.name == owned {
				ofOwner = max(ofOwner, used)
			} else {
				ofLocks = max(ofLocks, used)
			}
		}
	}

	most := float64(v.Int("workers"))
	many, readers, copies := gainOf(curves, nameLocks(16)), gainOf(curves, sharedLock), gainOf(curves, copied)
	want := fmt.Sprintf(">= %dx", leastGain)
	return []finding.Claim{
		{Text: "no way beats locks / hold", Law: "utilization <= 1", Source: "Denning, Buzen 1978", Exact: true, Want: "<= 1",
			Got: fmt.Sprintf("%.2f", ofLocks), Holds: ofLocks <= 1},
		{Text: "16 locks do twice the work of 1", Law: fmt.Sprintf("law says %.1fx", amdahl{1, 1. / 16}.at(most)), Source: "Amdahl 1967",
			Want: want, Got: fmt.Sprintf("%.1fx", many), Holds: many >= leastGain},
		{Text: "so do readers, and copies", Law: fmt.Sprintf("law says %gx", most), Source: "Courtois 1971", Want: want,
			Got: fmt.Sprintf("%.1fx, %.1fx", readers, copies), Holds: min(readers, copies) >= leastGain},
		{Text: "an owner that waits is 1 lock: 1 / hold", Law: "utilization <= 1", Source: "Hoare 1978", Exact: true, Want: "<= 1",
			Got: fmt.Sprintf("%.2f", ofOwner), Holds: ofOwner <= 1},
	}
}

// bestOfOne returns what one worker does, whom no way holds up.
func bestOfOne(curves []curve) (best float64) {
	for _, c := range curves {
		best = max(best, c.perSec[0])
	}
	return best
}

func serialShare(curves []curve, c curve) float64 {
	return fitAmdahl(bestOfOne(curves), c.workers, c.perSec).serial
}

func locksNotice(v finding.Values, curves []curve, app appMoves) []string {
	one, sixteen := curveOf(curves, nameLocks(1)), curveOf(curves, nameLocks(16))
	fitted := fitUSL(bestOfOne(curves), sixteen.workers, sixteen.perSec)
	return []string{
		fmt.Sprintf("1 lock: %s a second with 1 worker, %s with %d. An owner that waits: %s, no better.",
			formatRate(one.perSec[0]), formatRate(one.lastSpeed()), v.Int("workers"), formatRate(curveOf(curves, owned).lastSpeed())),
		fmt.Sprintf("16 locks work as if %s were serial, 1/16 is %s; a pair of workers costs %.4f (Gunther).",
			formatShare(fitted.serial), formatShare(1./16), fitted.pairs),
		fmt.Sprintf("The app never waits under a lock: %s moves a second with 1 lock, %s with %d.",
			formatRate(app.oneLock), formatRate(app.manyLocks), appLocks),
	}
}

func locksChart(v finding.Values, curves []curve) plot.Chart {
	c := locksFrame(v)
	for _, measured := range slices.Backward(curves) { // from the steepest
		i := slices.IndexFunc(c.Panels, func(p plot.Panel) bool { return p.Name == panelOf(measured.way) })
		c.Panels[i].Curves = append(c.Panels[i].Curves, measured.drawCurve(measured.name, plot.Measured, nil))
	}

	sixteen := curveOf(curves, nameLocks(16))
	c.Panels[2].Curves = []plot.Curve{
		sixteen.drawCurve("Amdahl, fitted", plot.Law, fitAmdahl(bestOfOne(curves), sixteen.workers, sixteen.perSec).at),
		sixteen.drawCurve("Gunther, fitted", plot.Law, fitUSL(bestOfOne(curves), sixteen.workers, sixteen.perSec).at),
		sixteen.drawCurve("16 locks", plot.Measured, nil),
	}
	return c
}

// drawCurve returns the curve, or another one with the same workers.
func (c curve) drawCurve(name string, style plot.Style, y func(workers float64) float64) plot.Curve {
	out := plot.Curve{Name: name, Style: style, Dots: style == plot.Measured}
	for i, n := range c.workers {
		at := plot.Point{X: float64(n), Y: c.perSec[i]}
		if y != nil {
			at.Y = y(at.X)
		}
		out.Points = append(out.Points, at)
	}
	return out
}

// formatRate writes a rate with three digits that count.
func formatRate(perSec float64) string {
	n := int(roundToDigits(perSec, 3))
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%g million", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return strconv.Itoa(n)
}

func formatShare(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
