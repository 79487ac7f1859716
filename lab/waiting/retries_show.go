package waiting

import (
	"fmt"
	"math"
	"slices"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// middle returns the middle of a bin, in seconds.
func (p retryPlan) middle(bin int) float64 { return (float64(bin) + .5) * binLength.Seconds() }

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

// judge finds when a policy recovered: from the first quarter of a second on of
// which, with the three after it, four in five requests were good.
func (p retryPlan) judge(f policyFigures) judged {
	last := int(lastPart / binLength)
	out := judged{after: math.Inf(1), atEnd: p.rate * share(f, p.bins()-last, p.bins())}
	hangTo := (hangFrom + p.hang).Seconds()
	for bin := int(hangFrom / binLength); bin+4 <= p.bins(); bin++ {
		if end := float64(bin+1) * binLength.Seconds(); end > hangTo && share(f, bin, bin+4) >= .8 {
			out.after = max(0, end-binLength.Seconds()-hangTo)
			break
		}
	}
	return out
}

// share returns the share of good answers in bins.
func share(f policyFigures, from, to int) float64 {
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
		j[i] = p.judge(f)
		for bin := range f.Good {
			most = max(most, p.rate/float64(max(1, f.Asked[bin]))*float64(f.Good[bin]))
		}
	}

	claims := []finding.Claim{{Text: "good answers a second", Law: "no more than asked", Source: bronson, Exact: true,
		Want: fmt.Sprintf("<= %g", p.rate), Got: fmt.Sprintf("%.3g at most", most), Holds: most <= p.rate+1e-9}}
	claims = append(claims, p.claimEnd("at once, backoff", atOnce, j[atOnce], j[withBackoff], bronson),
		p.claimEnd("budget", withBudget, j[withBudget], j[withBudget], bronson))

	saved := finding.Claim{Text: "drop old: back first", Law: "no useless work", Source: "Nichols, Jacobson 2012",
		Want: "<= " + seconds(j[withBudget].after), Got: seconds(j[withBudgetNoOld].after)}
	saved.Holds = j[withBudgetNoOld].after <= max(j[withBudget].after, binLength.Seconds())
	if p.foretell(withBudgetNoOld) == unsure {
		saved.Want, saved.Holds = "too near to tell", true
	}
	return append(claims, saved)
}

// claimEnd is the claim about the end of the run of a policy, or of two with
// the same load.
func (p retryPlan) claimEnd(name string, policy int, a, b judged, source string) finding.Claim {
	c := finding.Claim{Law: fmt.Sprintf("%g tries/s %s 40", math.Round(10*p.load(policy))/10, compare(p.load(policy), capacity)), Source: source,
		Got: "back: " + seconds(a.after)}
	if a.after != b.after {
		c.Got += ", " + seconds(b.after)
	}

	switch p.foretell(policy) {
	case staysDown:
		c.Text, c.Want, c.Holds = name+": stays down", "never", a.isDown() && b.isDown()
	case recovers:
		c.Text, c.Want = name+": recovers", "law "+p.lawOf(policy)
		c.Holds = !a.isDown() && !b.isDown()
	default:
		c.Text, c.Want, c.Holds = name+": at the end", "too near to tell", true
		if after := p.recovery(policy); !math.IsInf(after, 1) && after > p.watch.Seconds() {
			c.Want = fmt.Sprintf("back after %.0f s, too late to see", after)
		}
	}
	return c
}

func compare(a, b float64) string {
	switch {
	case a > b:
		return ">"
	case a < b:
		return "<"
	}
	return "="
}

func seconds(s float64) string {
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

// show returns the finding of a run's figures.
func (p retryPlan) show(figures []policyFigures) finding.Result {
	out := finding.Result{Chart: p.frame(), Figures: figures, Claims: p.judgeRetries(figures),
		Table:  finding.Table{Columns: []string{"policy", "tries each at the end", "answered/s", "good/s", "back after", "law"}},
		Detail: finding.Table{Columns: append([]string{"asked at, s"}, policyNames[:]...)}}
	j := make([]judged, len(figures))
	for i, f := range figures {
		j[i] = p.judge(f)
		out.Table.Rows = append(out.Table.Rows, []string{f.Name, fmt.Sprintf("%.1f", f.TriesPerAskAtEnd), fmt.Sprintf("%.0f", f.AnsweredAtEnd),
			fmt.Sprintf("%.0f", j[i].atEnd), seconds(j[i].after), p.lawOf(i)})
		for bin := range f.Asked {
			out.Chart.Panels[0].Curves[1+i].Points = append(out.Chart.Panels[0].Curves[1+i].Points,
				plot.Point{X: p.middle(bin), Y: p.perSecond(f.Asked[bin], f.Good[bin])})
		}
		out.Parts = append(out.Parts, finding.Part{Name: "service for " + f.Name, Where: f.addr,
			Count: fmt.Sprintf("%d tries, %d answered", f.Tries, f.Answered)})
	}

	for bin := range p.bins() {
		row := []string{fmt.Sprintf("%.3f", p.middle(bin))}
		for _, f := range figures {
			row = append(row, fmt.Sprintf("%.1f", p.perSecond(f.Asked[bin], f.Good[bin])))
		}
		out.Detail.Rows = append(out.Detail.Rows, row)
	}
	out.Seen, out.Notice = p.seenRetries(j), p.notices(figures, j)
	return out
}

// lawOf says when the law lets a policy recover.
func (p retryPlan) lawOf(policy int) string {
	switch {
	case policy == withBudgetNoOld:
		return "at once"
	case p.foretell(policy) == unsure && p.load(policy) >= capacity:
		return "unsure"
	}
	return seconds(p.recovery(policy))
}

func (p retryPlan) notices(figures []policyFigures, j []judged) []string {
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
		out = append(out, fmt.Sprintf("All recovered; the last was %s after %s.", policyNames[slowest], seconds(j[slowest].after)))
	}

	old, all := j[withBudgetNoOld].after, j[withBudget].after
	if saved := all - old; saved > 0 && !math.IsInf(all, 1) {
		return append(out, fmt.Sprintf("Work for those who left: dropping %s saved %s of %s.", plural(int(figures[withBudgetNoOld].Dropped), "old request"),
			seconds(saved), seconds(all)))
	}
	return append(out, fmt.Sprintf("Dropping %s: back after %s; the budget alone: %s.", plural(int(figures[withBudgetNoOld].Dropped), "old request"),
		seconds(old), seconds(all)))
}
