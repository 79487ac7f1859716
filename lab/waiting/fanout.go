package waiting

import (
	"math"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Fanout returns the experiment fanout.
func Fanout() finding.Experiment {
	return finding.Experiment{
		Name:      "fanout",
		Topic:     finding.Waiting,
		Asks:      []string{"R3"},
		Question:  "What does waiting for others cost?",
		Teaser:    "waiting for others",
		Situation: "A map asks 60 services. Each is slow once in 100. How many maps wait for a slow one?",
		Options:   []string{"1 in 100", "About 1 in 10", "About half", "Nearly all"},

		Knobs: []finding.Knob{
			{Name: "services", Label: "Services", Help: "How many services a request asks.", Default: 60, Low: 1, High: 100, Step: 1},
			{Name: "slow", Label: "Slow", Help: "Share of calls that are slow.", Unit: "%", Default: 1, Low: 0, High: 5, Step: .5},
			{Name: "fail", Label: "Fail", Help: "Share of calls that fail.", Unit: "%", Default: 1, Low: 0, High: 5, Step: .5},
			{Name: "wait", Label: "Slow means", Help: "How long a slow call takes.", Unit: "ms", Default: 150, Low: 50, High: 300, Step: 10},
			{Name: "requests", Label: "Requests", Help: "How many requests are made in each way.", Default: 100, Low: 50, High: 150, Step: 10},
		},
		Takes: 9 * time.Second,

		Real: "routing services, RPC, sockets, client with breaker, queue",
		Made: "faults, three streets",
		Code: []finding.Code{
			{File: "routing/client.go", Func: "Client.callService", Why: "breaker"},
			{File: "lab/waiting/ask.go", Func: "caller.askHedged", Why: "hedge"},
		},
		Next:  "ridehail lab fanout --services 10, and --slow 0.5: which of them helps more",
		Frame: func(v finding.Values) plot.Chart { return newFanoutPlan(v).emptyChart() },
		Run:   runFanout,
	}
}

// fanoutPlan is a run as the knobs want it.
type fanoutPlan struct {
	services, requests int
	slow, fail         float64 // shares of the calls
	wait               time.Duration
}

func newFanoutPlan(v finding.Values) fanoutPlan {
	return fanoutPlan{services: v.Int("services"), requests: v.Int("requests"), slow: v.Number("slow") / 100, fail: v.Number("fail") / 100,
		wait: v.Milliseconds("wait")}
}

// hedgeAfter is when a call that was not answered is made a second time.
func (p fanoutPlan) hedgeAfter() time.Duration { return p.wait / 3 }

// atLeastOne is the law: the share of requests of which one in n calls, at
// least, is hit with a probability of p.
func atLeastOne(p float64, n int) float64 { return 1 - math.Pow(1-p, float64(n)) }

// hedgedSlow is the probability that a call and its second try let the caller
// wait: both are slow, or one is slow and the other fails.
func (p fanoutPlan) hedgedSlow() float64 { return p.slow*p.slow + 2*p.slow*p.fail }

// binomialRange returns the counts between which a count of n with probability
// p lies, but for 1 time in 1000.
func binomialRange(n int, p float64) (low, high int) {
	const tail = .0005
	if p <= 0 {
		return 0, 0
	}
	if p >= 1 {
		return n, n
	}

	below, found := 0.0, false
	for k := 0; k <= n; k++ {
		below += binomialChance(n, k, p)
		if !found && below > tail {
			low, found = k, true
		}
		if below >= 1-tail {
			return low, k
		}
	}
	return low, n
}

// binomialChance is the probability of k hits in n.
func binomialChance(n, k int, p float64) float64 {
	lgamma := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	return math.Exp(lgamma(n) - lgamma(k) - lgamma(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// The curves of the chart.
const (
	curveSlow   = "met a slow one"
	curveWhole  = "whole answer"
	curveHedged = "hedged: met a slow one"
)

// axisSteps are the numbers of services at which the chart has points.
func (p fanoutPlan) axisSteps() (out []int) {
	step := max(1, p.services/20)
	for n := 1; n < p.services; n += step {
		out = append(out, n)
	}
	return append(out, p.services)
}

// emptyChart is the chart before the first point.
func (p fanoutPlan) emptyChart() plot.Chart {
	slow := plot.Curve{Name: "law: 1 - (1 - slow)^n", Style: plot.Law}
	whole := plot.Curve{Name: "law: (1 - fail)^n", Style: plot.Law}
	for n := 0; n <= p.services; n++ {
		slow.Points = append(slow.Points, plot.Point{X: float64(n), Y: 100 * atLeastOne(p.slow, n)})
		whole.Points = append(whole.Points, plot.Point{X: float64(n), Y: 100 - 100*atLeastOne(p.fail, n)})
	}

	return plot.Chart{X: plot.Axis{Name: "services that a request asks", End: float64(p.services)}, Y: plot.Axis{Name: "% of the requests", End: 100},
		Panels: []plot.Panel{{Curves: []plot.Curve{slow, whole, {Name: curveSlow}, {Name: curveWhole}, {Name: curveHedged}}}}}
}
