package storm

import (
	"fmt"
	"math"
	"slices"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/lab/finding"
)

func kindName(jitter bool) string {
	if jitter {
		return "with jitter"
	}
	return "without jitter"
}

// ofKind returns a figure of each cut with jitter, or of each without.
func ofKind[N int | float64](f figures, jitter bool, get func(cut) N) quantile.Sorted[N] {
	var out []N
	for _, c := range f.Cuts {
		if c.Jitter == jitter {
			out = append(out, get(c))
		}
	}
	return quantile.Sort(out)
}

// median returns the middle figure of the cuts of a kind; 0 of none.
func median[N int | float64](f figures, jitter bool, get func(cut) N) N {
	return ofKind(f, jitter, get).At(.5)
}

// formatRange returns the median with the least and the most.
func formatRange[N int | float64](s quantile.Sorted[N]) string {
	return fmt.Sprintf("%v (%v-%v)", s.At(.5), s.At(0), s.Max())
}

func sum(all []int) (total int) {
	for _, n := range all {
		total += n
	}
	return total
}

// sumOf adds up a figure of all cuts.
func sumOf(f figures, get func(cut) int) int {
	return sum(ofKind(f, true, get)) + sum(ofKind(f, false, get))
}

func back(c cut) int            { return c.Back }
func back99(c cut) float64      { return c.Back99 }
func worstAsked(c cut) int      { return c.WorstAsked }
func worstTried(c cut) int      { return c.WorstTried }
func refused(c cut) int         { return c.Refused }
func failed(c cut) int          { return c.Failed }
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
	return float64(median(f, true, worstAsked)) / float64(max(1, median(f, false, worstAsked)))
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
			row = append(row, fmt.Sprint(median(f, jitter, worstStatements)))
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
		steps := ofKind(f, jitter, func(c cut) int { return len(c.Away) }).Max()
		if steps > 0 {
			a.Points = []plot.Point{{X: 0, Y: float64(f.Phones)}}
		}
		for i := range steps {
			gone := median(f, jitter, func(c cut) int { return countAt(c.Away, i) })
			tried := median(f, jitter, func(c cut) int { return countAt(c.Tries, i) })
			a.Points = append(a.Points, plot.Point{X: float64(i+1) / 10, Y: float64(gone)})
			t.Points = append(t.Points, plot.Point{X: float64(i)/10 + .05, Y: float64(tried)})
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
	all, came := f.Phones*len(f.Cuts), sumOf(f, back)

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
	with, without := median(f, true, worstAsked), median(f, false, worstAsked)
	slow, slower := median(f, true, back99), median(f, false, back99)
	compared := "later than"
	switch {
	case slow < slower:
		compared = "sooner than"
	case slow == slower:
		compared = "as soon as"
	}

	third := "The node sent none away: it lets in 1,000 at once and 1,000 a second."
	if n := sumOf(f, refused); n > 0 {
		third = fmt.Sprintf("The node sent %d tries away, each with a time to come back: that is jitter by the server.", n)
	}
	return []string{
		fmt.Sprintf("Without jitter %d of %d phones want to dial in the same 0.1 s, with it %d.", without, f.Phones, with),
		fmt.Sprintf("With jitter 99 %% were back in %.2f s, %s without (%.2f s); one cut alone says little.", slow, compared, slower),
		third,
	}
}
