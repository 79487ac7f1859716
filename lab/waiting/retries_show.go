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
	return p.rate * float64(good) / float64(max(1, asked))
}

// isDown reports whether a policy never recovered. The last second alone would
// not tell: it may be one in which this machine had other work.
func (f policyFigures) isDown() bool { return math.IsInf(f.backAfter, 1) }

// findRecovery returns when a policy recovered, in seconds after the hang: from
// the first quarter of a second on of which, with the three after it, four in
// five requests were good. It is infinite if that never was.
func (p retryPlan) findRecovery(f policyFigures) float64 {
	hangTo := (hangFrom + p.hang).Seconds()
	for bin := int(hangFrom / binLength); bin+4 <= p.countBins(); bin++ {
		if end := float64(bin+1) * binLength.Seconds(); end > hangTo && f.shareGood(bin, bin+4) >= .8 {
			return max(0, end-binLength.Seconds()-hangTo)
		}
	}
	return math.Inf(1)
}

// shareGood returns the share of good answers in bins.
func (f policyFigures) shareGood(from, to int) float64 {
	asked, good := 0, 0
	for bin := from; bin < to; bin++ {
		asked, good = asked+f.Asked[bin], good+f.Good[bin]
	}
	return float64(good) / float64(max(1, asked))
}

const bronson = "Bronson et al. 2021"

// judgeRetries returns the claims.
func (p retryPlan) judgeRetries(figures []policyFigures) []finding.Claim {
	most := 0.0
	for _, f := range figures {
		for bin := range f.Good {
			most = max(most, p.perSecond(f.Asked[bin], f.Good[bin]))
		}
	}
	asked := finding.Claim{Text: "good answers a second", Law: "no more than asked", Source: bronson, Exact: true,
		Want: fmt.Sprintf("<= %g", p.rate), Got: fmt.Sprintf("%.3g at most", most), Holds: most <= p.rate+1e-9}

	budget, noOld := figures[withBudget], figures[withBudgetNoOld]
	saved := finding.Claim{Text: "drop old: back first", Law: "no useless work", Source: "Nichols, Jacobson 2012",
		Want: "<= " + formatSeconds(budget.backAfter), Got: formatSeconds(noOld.backAfter),
		Holds: !noOld.isDown() && noOld.backAfter <= max(budget.backAfter, binLength.Seconds())}
	if p.foretellEnd(withBudgetNoOld) == unsure {
		saved.Want, saved.Holds = "too near to tell", true
	}
	return []finding.Claim{asked, p.claimEnd("at once, backoff", atOnce, figures[atOnce], figures[withBackoff]),
		p.claimEnd("budget", withBudget, budget, budget), saved}
}

// claimEnd is the claim about the end of the run of a policy, or of two with
// the same load.
func (p retryPlan) claimEnd(name string, policy int, a, b policyFigures) finding.Claim {
	load := p.triesPerSecond(policy)
	c := finding.Claim{Law: fmt.Sprintf("%g tries/s %s 40", math.Round(10*load)/10, comparisonSign(load, capacity)), Source: bronson,
		Got: "back: " + formatSeconds(a.backAfter)}
	if a.backAfter != b.backAfter {
		c.Got += ", " + formatSeconds(b.backAfter)
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
func seenRetries(figures []policyFigures) int {
	down := func(wanted ...int) bool {
		for i, f := range figures {
			if f.isDown() != slices.Contains(wanted, i) {
				return false
			}
		}
		return true
	}
	switch {
	case down():
		if slices.ContainsFunc(figures, func(f policyFigures) bool { return f.backAfter > 1 }) {
			return -1
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
		Seen: seenRetries(figures), Notice: wordRetryNotices(figures),
		Table:  finding.Table{Columns: []string{"policy", "tries each at the end", "answered/s", "good/s", "back after", "law"}},
		Detail: finding.Table{Columns: append([]string{"asked at, s"}, policyNames[:]...)}}
	for i, f := range figures {
		out.Table.Rows = append(out.Table.Rows, []string{f.Name, fmt.Sprintf("%.1f", f.TriesPerAskAtEnd), fmt.Sprintf("%.0f", f.AnsweredAtEnd),
			fmt.Sprintf("%.0f", f.goodAtEnd), formatSeconds(f.backAfter), p.lawOf(i)})
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

func wordRetryNotices(figures []policyFigures) []string {
	out := make([]string, 0, 3)
	once, backoff := figures[atOnce], figures[withBackoff]
	if once.isDown() && backoff.isDown() {
		out = append(out, fmt.Sprintf("The load, not the wait: backoff moved the tries, %.1f a request as against %.1f at once.",
			backoff.TriesPerAskAtEnd, once.TriesPerAskAtEnd))
	} else {
		out = append(out, fmt.Sprintf("A request cost %.1f tries at the end when repeated at once, %.1f with backoff.",
			once.TriesPerAskAtEnd, backoff.TriesPerAskAtEnd))
	}

	down, answered, slowest := 0, math.Inf(1), figures[0]
	for _, f := range figures {
		if f.isDown() {
			down, answered = down+1, min(answered, f.AnsweredAtEnd)
		}
		if f.backAfter > slowest.backAfter {
			slowest = f
		}
	}
	if down > 0 {
		out = append(out, fmt.Sprintf("Busy is not useful: %d of 5 stayed down, with %.0f answers a second, all too late.", down, answered))
	} else {
		out = append(out, fmt.Sprintf("All recovered; the last was %s after %s.", slowest.Name, formatSeconds(slowest.backAfter)))
	}

	budget, noOld := figures[withBudget], figures[withBudgetNoOld]
	dropped := "1 old request"
	if noOld.Dropped != 1 {
		dropped = fmt.Sprintf("%d old requests", noOld.Dropped)
	}
	if saved := budget.backAfter - noOld.backAfter; saved > 0 && !budget.isDown() {
		return append(out, fmt.Sprintf("Work for those who left: dropping %s saved %s of %s.", dropped, formatSeconds(saved), formatSeconds(budget.backAfter)))
	}
	return append(out, fmt.Sprintf("Dropping %s: back after %s; the budget alone: %s.", dropped,
		formatSeconds(noOld.backAfter), formatSeconds(budget.backAfter)))
}
