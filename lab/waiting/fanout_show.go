package waiting

import (
	"fmt"
	"math"

	"github.com/ridehail/ridehail/lab/finding"
)

// judgeFanout returns the claims.
func (p fanoutPlan) judgeFanout(f fanoutFigures) []finding.Claim {
	n := p.services
	slow := claimShare("met a slow one", fmt.Sprintf("1-(1-%g)^%d", p.slow, n), atLeastOne(p.slow, n), f.Together.Slow, f.Together.Requests)
	if f.InTurn.Slow != f.Together.Slow {
		slow.Got, slow.Holds = fmt.Sprintf("%d in turn, %d together", f.InTurn.Slow, f.Together.Slow), false
	}
	whole := claimShare("whole answer", fmt.Sprintf("(1-%g)^%d", p.fail, n), 1-atLeastOne(p.fail, n), f.Together.Whole, f.Together.Requests)
	hedged := claimShare("hedged: met one", fmt.Sprintf("1-(1-%.2g)^%d", p.hedgedSlow(), n), atLeastOne(p.hedgedSlow(), n), f.Hedged.Slow, f.Hedged.Requests)

	s := f.Silent
	most := uint64(5 + math.Floor(s.Seconds))
	silent := finding.Claim{Text: "one silent", Law: "breaker: 5, then 1/s", Source: "Nygard 2007", Exact: true,
		Want: fmt.Sprintf("all, <= %d waits", most), Got: fmt.Sprintf("%d of %d, %d waits", s.Fallback, silentRequests, s.Waited),
		Holds: s.Fallback == silentRequests && s.Waited <= most && s.Unbounded == 0}
	return []finding.Claim{slow, whole, hedged, silent}
}

// claimShare is the claim that a count of requests is one that its law gives,
// but for 1 seed in 1000.
func claimShare(name, formula string, share float64, got, of int) finding.Claim {
	low, high := binomialRange(of, share)
	return finding.Claim{Text: name, Law: fmt.Sprintf("%s = %s", formula, formatPercent(share)), Source: "Dean, Barroso 2013", Exact: true,
		Want: fmt.Sprintf("%d to %d", low, high), Got: fmt.Sprintf("%d of %d", got, of), Holds: low <= got && got <= high}
}

func formatPercent(share float64) string {
	if share >= .095 {
		return fmt.Sprintf("%.0f %%", 100*share)
	}
	return fmt.Sprintf("%.2g %%", 100*share)
}

func percentOf(n, of int) string { return formatPercent(float64(n) / float64(max(1, of))) }

// seenFanout returns the option that came true.
func seenFanout(share float64) int {
	switch {
	case share < .03:
		return 0
	case share < .25:
		return 1
	case share < .75:
		return 2
	}
	return 3
}

// buildResult returns the finding of a run's figures.
func (p fanoutPlan) buildResult(f fanoutFigures) finding.Result {
	out := finding.Result{Chart: p.emptyChart(), Figures: f, Claims: p.judgeFanout(f), Notice: p.wordNotices(f),
		Seen: seenFanout(float64(f.Together.Slow) / float64(f.Together.Requests))}

	curves := out.Chart.Panels[0].Curves
	curves[2].Points = p.curvePoints(f.Together.slowOf, f.Together.Requests)
	curves[3].Points = p.curvePoints(f.Together.wholeOf, f.Together.Requests)
	curves[4].Points = p.curvePoints(f.Hedged.slowOf, f.Hedged.Requests)

	out.Detail.Columns = []string{"services", "met a slow one", "whole answer", "hedged: met a slow one"}
	for i, n := range p.axisSteps() {
		out.Detail.Rows = append(out.Detail.Rows,
			[]string{fmt.Sprint(n), fmt.Sprint(f.Together.slowOf[i]), fmt.Sprint(f.Together.wholeOf[i]), fmt.Sprint(f.Hedged.slowOf[i])})
	}

	out.Table.Columns = []string{"way to ask", "met a slow one", "whole answer", "median wait", "calls"}
	for _, w := range []struct {
		name string
		wayFigures
	}{{"in turn", f.InTurn}, {"together", f.Together}, {"together, hedged", f.Hedged}} {
		out.Table.Rows = append(out.Table.Rows, []string{w.name, percentOf(w.Slow, w.Requests), percentOf(w.Whole, w.Requests), formatMillis(w.took), fmt.Sprint(w.Calls)})
	}

	s := f.Silent
	out.Table.Rows = append(out.Table.Rows,
		[]string{"asynchronous", "0 %", percentOf(f.Later.Whole, f.Later.Accepted) + " later", formatMillis(f.Later.took), fmt.Sprint(f.laterCalls)},
		[]string{"one silent: no deadline", "all", percentOf(s.Unbounded, silentRequests), "never", ""},
		[]string{"one silent: breaker", fmt.Sprintf("%d waited", s.Waited), percentOf(s.Fallback, silentRequests), formatMillis(s.fallbackTook), ""},
		[]string{"one silent: asynchronous", "0 %", percentOf(s.Later.Whole, silentRequests) + " later", formatMillis(s.Later.took), ""})
	return out
}

func (p fanoutPlan) wordNotices(f fanoutFigures) []string {
	extra := float64(f.Hedged.Calls)/float64(max(1, f.Together.Calls)) - 1
	s := f.Silent
	return []string{
		fmt.Sprintf("Together is faster, not luckier: %s met a slow one in turn, %s together; %s a service.",
			percentOf(f.InTurn.Slow, f.InTurn.Requests), percentOf(f.Together.Slow, f.Together.Requests), formatPercent(p.slow)),
		fmt.Sprintf("Hedged (asked again after %s) %s met a slow one, for %s more calls.", formatMillis(p.hedgeAfter()),
			percentOf(f.Hedged.Slow, f.Hedged.Requests), formatPercent(max(0, extra))),
		fmt.Sprintf("One silent: %d of %d without a deadline, %d with one; as jobs %d at first, %d after.", s.Unbounded, silentRequests,
			s.Fallback, s.LaterWithin, s.Later.Whole),
	}
}
