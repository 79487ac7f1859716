package waiting

import (
	"fmt"
	"math"
	"slices"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// middleOf returns the middle of a bin, in seconds.
func (p retryPlan) middleOf(bin int) float64 { return (float64(bin) + .5) * binLength.Seconds() }

// perSecond returns the good answers a second of a bin: the share of its
// requests, so that it is the rate when all were good.
func (p retryPlan) perSecond(asked, good int) float64 {
	if asked == 0 {
		return 0
	}
	return p.rate * float64(good) / float64(asked)
}

// judged is what a policy's figures come to.
type judged struct {
	atEnd float64 // good answers a second in the last part
	after float64 // seconds from the hang's end until it answers again; infinite: never
}

// isDown reports whether a policy never recovered. The last second alone would
// not tell: it may be one in which this machine had other work.
func (j judged) isDown() bool { return math.IsInf(j.after, 1) }

// judgePolicy finds when a policy recovered: from the first quarter of a second
// on of which, with the three after it, four in five requests were good.
func (p retryPlan) judgePolicy(f policyFigures) judged {
	last := int(lastPart / binLength)
	out := judged{after: math.Inf(1), atEnd: p.rate * shareGood(f, p.countBins()-last, p.countBins())}
	hangTo := (hangFrom + p.hang).Seconds()
	for bin := int(hangFrom / binLength); bin+4 <= p.countBins(); bin++ {
		if end := float64(bin+1) * binLength.Seconds(); end > hangTo && shareGood(f, bin, bin+4) >= .8 {
			out.after = max(0, end-binLength.Seconds()-hangTo)
			break
		}
	}
	return out
}

// shareGood returns the share of good answers in bins.
func shareGood(f policyFigures, from, to int) float64 {
	asked, good := 0, 0
	for bin := from; bin < to; bin++ {
		asked, good = asked+f.Asked[bin], good+f.Good[bin]
	}
	return float64(good) / float64(max(1, asked))
}

// judgeRetries returns the claims.
func (p retryPlan) judgeRetries(figures []policyFigures) []finding.Claim {
	const bronson = "Bronson et al. 2021"
	j := make([]judged, len(figures))
	most := 0.0
	for i, f := range figures {
		j[i] = p.judgePolicy(f)
		for bin := range f.Good {
			most = max(most, p.rate/float64(max(1, f.Asked[bin]))*float64(f.Good[bin]))
		}
	}

	claims := []finding.Claim{{Text: "good answers a second", Law: "no more than asked", Source: bronson, Exact: true,
		Want: fmt.Sprintf("<= %g", p.rate), Got: fmt.Sprintf("%.3g at most", most), Holds: most <= p.rate+1e-9}}
	claims = append(claims, p.claimEnd("at once, backoff", atOnce, j[atOnce], j[withBackoff], bronson),
		p.claimEnd("budget", withBudget, j[withBudget], j[withBudget], bronson))

	saved := finding.Claim{Text: "drop old: back first", Law: "no useless work", Source: "Nichols, Jacobson 2012",
		Want: "<= " + formatSeconds(j[withBudget].after), Got: formatSeconds(j[withBudgetNoOld].after)}
	saved.Holds = j[withBudgetNoOld].after <= max(j[withBudget].after, binLength.Seconds())
	if p.foretellEnd(withBudgetNoOld) == unsure {
		saved.Want, saved.Holds = "too near to tell", true
	}
	return append(claims, saved)
}

// claimEnd is the claim about the end of the run of a policy, or of two with
// the same load.
func (p retryPlan) claimEnd(name string, policy int, a, b judged, source string) finding.Claim {
	c := finding.Claim{Law: fmt.Sprintf("%g tries/s %s 40", math.Round(10*p.triesPerSecond(policy))/10, comparisonSign(p.triesPerSecond(policy), capacity)), Source: source,
		Got: "back: " + formatSeconds(a.after)}
	if a.after != b.after {
		c.Got += ", " + formatSeconds(b.after)
	}

	switch p.foretellEnd(policy) {
	case staysDown:
		c.Text, c.Want, c.Holds = name+": stays down", "never", a.isDown() && b.isDown()
	case recovers:
		c.Text, c.Want = name+": recovers", "law "+p.lawOf(policy)
		c.Holds = !a.isDown() && !b.isDown()
	default:
		c.Text, c.Want, c.Holds = name+": at the end", "too near to tell", true
		if after := p.recoveryTime(policy); !math.IsInf(after, 1) && after > p.watch.Seconds() {
			c.Want = fmt.Sprintf("back after %.0f s, too late to see", after)
		}
	}
	return c
}

func comparisonSign(a, b float64) string {
	switch {
	case a > b:
		return ">"
	case a < b:
		return "<"
	}
	return "="
}

func formatSeconds(s float64) string {
	if math.IsInf(s, 1) {
		return "never"
	}
	return fmt.Sprintf("%.2g s", s)
}

// seenRetries returns the option that came true.
func (p retryPlan) seenRetries(j []judged) int {
	down := func(wanted ...int) bool {
		for i := range j {
			if j[i].isDown() != slices.Contains(wanted, i) {
				return false
			}
		}
		return true
	}
	switch {
	case down():
		for _, one := range j {
			if one.after > 1 {
				return -1
			}
		}
		return 0
	case down(atOnce):
		return 1
	case down(atOnce, withBackoff):
		return 2
	case down(atOnce, withBackoff, withBudget), down(atOnce, withBackoff, withBudget, withBudgetNoOld):
		return 3
	}
	return -1
}

// buildResult returns the finding of a run's figures.
func (p retryPlan) buildResult(figures []policyFigures) finding.Result {
	out := finding.Result{Chart: p.emptyChart(), Figures: figures, Claims: p.judgeRetries(figures),
		Table:  finding.Table{Columns: []string{"policy", "tries each at the end", "answered/s", "good/s", "back after", "law"}},
		Detail: finding.Table{Columns: append([]string{"asked at, s"}, policyNames[:]...)}}
	j := make([]judged, len(figures))
	for i, f := range figures {
		j[i] = p.judgePolicy(f)
		out.Table.Rows = append(out.Table.Rows, []string{f.Name, fmt.Sprintf("%.1f", f.TriesPerAskAtEnd), fmt.Sprintf("%.0f", f.AnsweredAtEnd),
			fmt.Sprintf("%.0f", j[i].atEnd), formatSeconds(j[i].after), p.lawOf(i)})
		for bin := range f.Asked {
			out.Chart.Panels[0].Curves[1+i].Points = append(out.Chart.Panels[0].Curves[1+i].Points,
				plot.Point{X: p.middleOf(bin), Y: p.perSecond(f.Asked[bin], f.Good[bin])})
		}
		out.Parts = append(out.Parts, finding.Part{Name: "service for " + f.Name, Where: f.addr,
			Count: fmt.Sprintf("%d tries, %d answered", f.Tries, f.Answered)})
	}

	for bin := range p.countBins() {
		row := []string{fmt.Sprintf("%.3f", p.middleOf(bin))}
		for _, f := range figures {
			row = append(row, fmt.Sprintf("%.1f", p.perSecond(f.Asked[bin], f.Good[bin])))
		}
		out.Detail.Rows = append(out.Detail.Rows, row)
	}
	out.Seen, out.Notice = p.seenRetries(j), p.wordNotices(figures, j)
	return out
}

// lawOf says when the law lets a policy recover.
func (p retryPlan) lawOf(policy int) string {
	switch {
	case policy == withBudgetNoOld:
		return "at once"
	case p.foretellEnd(policy) == unsure && p.triesPerSecond(policy) >= capacity:
		return "unsure"
	}
	return formatSeconds(p.recoveryTime(policy))
}

func (p retryPlan) wordNotices(figures []policyFigures, j []judged) []string {
	out := make([]string, 0, 3)
	once, backoff := figures[atOnce].TriesPerAskAtEnd, figures[withBackoff].TriesPerAskAtEnd
	if j[atOnce].isDown() && j[withBackoff].isDown() {
		out = append(out, fmt.Sprintf("The load, not the wait: backoff moved the tries, %.1f a request as against %.1f at once.", backoff, once))
	} else {
		out = append(out, fmt.Sprintf("A request cost %.1f tries at the end when repeated at once, %.1f with backoff.", once, backoff))
	}

	down, slowest, answered := 0, 0, math.Inf(1)
	for i := range j {
		if j[i].isDown() {
			down, answered = down+1, min(answered, figures[i].AnsweredAtEnd)
		}
		if j[i].after > j[slowest].after {
			slowest = i
		}
	}
	if down > 0 {
		out = append(out, fmt.Sprintf("Busy is not useful: %d of 5 stayed down, with %.0f answers a second, all too late.",
			down, answered))
	} else {
		out = append(out, fmt.Sprintf("All recovered; the last was %s after %s.", policyNames[slowest], formatSeconds(j[slowest].after)))
	}

	old, all := j[withBudgetNoOld].after, j[withBudget].after
	if saved := all - old; saved > 0 && !math.IsInf(all, 1) {
		return append(out, fmt.Sprintf("Work for those who left: dropping %s saved %s of %s.", formatCount(int(figures[withBudgetNoOld].Dropped), "old request"),
			formatSeconds(saved), formatSeconds(all)))
	}
	return append(out, fmt.Sprintf("Dropping %s: back after %s; the budget alone: %s.", formatCount(int(figures[withBudgetNoOld].Dropped), "old request"),
		formatSeconds(old), formatSeconds(all)))
}
