package storm

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/simulators/loadgen"
)

// summarizePhones fills what follows from the phones and the steps.
func (c *cut) summarizePhones(phones *loadgen.Generator) {
	times := quantile.Sort(phones.ReturnTimes())
	if c.Back = len(times); c.Back > 0 {
		c.Back99 = math.Round(times.At(.99).Seconds()*100) / 100
	}
	c.Refused, c.Failed = phones.Refusals()
	c.WorstTried = slices.Max(c.Tries)
	c.WorstAsked = countWorstStep(phones.FirstWaits())
}

// countWorstStep returns how many of the waits end in the worst step.
func countWorstStep(waits []time.Duration) (most int) {
	ending := map[time.Duration]int{}
	for _, w := range waits {
		ending[w/stepLength]++
		most = max(most, ending[w/stepLength])
	}
	return most
}

func kindName(jitter bool) string {
	if jitter {
		return "with jitter"
	}
	return "without jitter"
}

// ofKind returns a figure of each cut with jitter, or of each without.
func ofKind[N int | int64 | float64](f figures, jitter bool, get func(cut) N) (out []N) {
	for _, c := range f.Cuts {
		if c.Jitter == jitter {
			out = append(out, get(c))
		}
	}
	slices.Sort(out)
	return out
}

// median returns the middle one of sorted figures; 0 of none.
func median[N int | int64 | float64](sorted []N) (m N) {
	if len(sorted) == 0 {
		return m
	}
	return sorted[len(sorted)/2]
}

// formatRange returns the median with the least and the most.
func formatRange[N int | int64 | float64](sorted []N) string {
	if len(sorted) == 0 {
		return ""
	}
	return fmt.Sprintf("%v (%v-%v)", median(sorted), sorted[0], sorted[len(sorted)-1])
}

func sum[N int | int64](all []N) (total N) {
	for _, n := range all {
		total += n
	}
	return total
}

func back(c cut) int            { return c.Back }
func back99(c cut) float64      { return c.Back99 }
func worstAsked(c cut) int      { return c.WorstAsked }
func worstTried(c cut) int      { return c.WorstTried }
func refused(c cut) int64       { return c.Refused }
func failed(c cut) int64        { return c.Failed }
func worstStatements(c cut) int { return slices.Max(append([]int{0}, c.Statements...)) }

// optionSeen returns which option came true.
func (f figures) optionSeen() int {
	switch share := f.shareWithJitter(); {
	case share > .8:
		return 0
	case share > .25:
		return 1
	}
	return 2
}

// shareWithJitter is the worst step with jitter, divided by that without.
func (f figures) shareWithJitter() float64 {
	return float64(median(ofKind(f, true, worstAsked))) / float64(max(1, median(ofKind(f, false, worstAsked))))
}

// lawShare is the part of the phones that jitter lets try in one step.
func (f figures) lawShare() float64 { return float64(stepLength.Milliseconds()) / float64(f.WaitMs) }

func stormTable(f figures) finding.Table {
	t := finding.Table{Columns: []string{"all dial again", "99 % back, s", "due in worst 0.1 s", "came in it", "sent away", "failed"}}
	hasStatements := len(f.Cuts) > 0 && f.Cuts[0].Statements != nil
	if hasStatements {
		t.Columns = append(t.Columns, "SQL")
	}
	for _, jitter := range []bool{true, false} {
		row := []string{kindName(jitter), formatRange(ofKind(f, jitter, back99)), formatRange(ofKind(f, jitter, worstAsked)),
			formatRange(ofKind(f, jitter, worstTried)), fmt.Sprint(sum(ofKind(f, jitter, refused))), fmt.Sprint(sum(ofKind(f, jitter, failed)))}
		if hasStatements {
			row = append(row, fmt.Sprint(median(ofKind(f, jitter, worstStatements))))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// The panels, and the curves in them.
const (
	awayPanel = "phones away"
	tryPanel  = "tries in each 0.1 s"
)

func awayName(jitter bool) string { return "away " + kindName(jitter) }
func tryName(jitter bool) string  { return "tries " + kindName(jitter) }

// drawPoints tells the points of a cut while the run goes on.
func (c cut) drawPoints(run *finding.Run) {
	for i := range c.Away {
		run.Point(awayName(c.Jitter), float64(i+1)/10, float64(c.Away[i]))
		run.Point(tryName(c.Jitter), float64(i)/10+.05, float64(c.Tries[i]))
	}
}

// stormChart shows the medians of the cuts of each kind, step by step. Without
// cuts it is the empty chart.
func stormChart(f figures) plot.Chart {
	away, tries := plot.Panel{Name: awayPanel}, plot.Panel{Name: tryPanel}
	tries.Limits = []plot.Limit{{At: float64(f.Phones) * f.lawShare(), Name: "law with jitter: phones x 0.1 s / wait"}}
	for _, jitter := range []bool{true, false} {
		a, t := plot.Curve{Name: awayName(jitter)}, plot.Curve{Name: tryName(jitter)}
		steps := slices.Max(append([]int{0}, ofKind(f, jitter, func(c cut) int { return len(c.Away) })...))
		if steps > 0 {
			a.Points = []plot.Point{{X: 0, Y: float64(f.Phones)}}
		}
		for i := range steps {
			a.Points = append(a.Points, plot.Point{X: float64(i+1) / 10, Y: float64(median(ofKind(f, jitter, func(c cut) int { return countAt(c.Away, i) })))})
			t.Points = append(t.Points, plot.Point{X: float64(i)/10 + .05, Y: float64(median(ofKind(f, jitter, func(c cut) int { return countAt(c.Tries, i) })))})
		}
		away.Curves, tries.Curves = append(away.Curves, a), append(tries.Curves, t)
	}
	return plot.Chart{X: plot.Axis{Name: "seconds since the cut", End: float64(f.WaitMs)/1000 + shownSteps*stepLength.Seconds()},
		Y: plot.Axis{Name: "phones", End: float64(f.Phones)}, Panels: []plot.Panel{away, tries}}
}

// countAt returns the count of a step, 0 after the last.
func countAt(counts []int, step int) int {
	if step >= len(counts) {
		return 0
	}
	return counts[step]
}

// judgeStorm judges what a run counted.
func judgeStorm(f figures) []finding.Claim {
	all, came := f.Phones*len(f.Cuts), sum(ofKind(f, true, back))+sum(ofKind(f, false, back))

	// Four standard deviations of a count, since the worst of some steps is
	// taken.
	law := f.lawShare()
	bound := law + 4*math.Sqrt(law*(1-law)/float64(f.Phones))
	return []finding.Claim{
		{Text: "every phone came back", Law: "end to end", Source: "Saltzer 1984", Exact: true, Want: fmt.Sprint(all), Got: fmt.Sprint(came), Holds: came == all},
		{Text: "jitter thins the worst 0.1 s", Law: "0.1 s / wait", Source: "Brooker 2015", Exact: true,
			Want: fmt.Sprintf("<= %.0f %%, law %.0f %%", 100*bound, 100*law), Got: fmt.Sprintf("to %.0f %%", 100*f.shareWithJitter()), Holds: f.shareWithJitter() <= bound},
	}
}

// noticeStorm words the figures.
func noticeStorm(f figures) []string {
	with, without := median(ofKind(f, true, worstAsked)), median(ofKind(f, false, worstAsked))
	slow, slower := median(ofKind(f, true, back99)), median(ofKind(f, false, back99))
	compared := "later than"
	switch {
	case slow < slower:
		compared = "sooner than"
	case slow == slower:
		compared = "as soon as"
	}
	third := "The node sent none away: it lets in 1,000 at once and 1,000 a second."
	if n := sum(ofKind(f, true, refused)) + sum(ofKind(f, false, refused)); n > 0 {
		third = fmt.Sprintf("The node sent %d tries away, each with a time to come back: that is jitter by the server.", n)
	}
	return []string{
		fmt.Sprintf("Without jitter %d of %d phones want to dial in the same 0.1 s, with it %d.", without, f.Phones, with),
		fmt.Sprintf("With jitter 99 %% were back in %.2f s, %s without (%.2f s); one cut alone says little.", slow, compared, slower),
		third,
	}
}
