package waiting

import (
	"math"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// The policies, by their numbers. They are the names of the curves.
const (
	noRetry = iota
	atOnce
	withBackoff
	withBudget
	withBudgetNoOld
)

var policyNames = [...]string{"no retry", "retry at once", "backoff, jitter", "budget", "budget, drop old"}

// Retries returns the experiment retries.
func Retries() finding.Experiment {
	return finding.Experiment{
		Name:      "retries",
		Topic:     finding.LatencyAndLoss,
		Asks:      []string{"R4"},
		Question:  "Can retries keep a healthy service down?",
		Teaser:    "kept down by retries",
		Situation: "A service that can answer 40 a second is asked 24. It stands still for 2.5 s. And then?",
		Options: []string{"All recover within a second", "Only retrying at once stays down",
			"Both stay down, a budget recovers", "A budget stays down as well"},

		Knobs: []finding.Knob{
			{Name: "rate", Label: "Asked", Help: "Requests a second; the service can answer 40.", Unit: "/s", Default: 24, Low: 8, High: 40, Step: 1},
			{Name: "retries", Label: "Retries", Help: "Repetitions of a request that failed.", Default: 3, Low: 0, High: 5, Step: 1},
			{Name: "budget", Label: "Budget", Help: "Repetitions allowed for each 100 requests.", Unit: "%", Default: 10, Low: 1, High: 50, Step: 1},
			{Name: "timeout", Label: "Timeout", Help: "How long a client waits for an answer.", Unit: "ms", Default: 250, Low: 100, High: 500, Step: 50},
			{Name: "hang", Label: "Hang", Help: "How long the service stands still.", Unit: "s", Default: 2.5, Low: 0, High: 5, Step: .5},
		},
		Takes: 12 * time.Second,

		Real: "payment client, retry budget, HTTP, sockets, emulated provider",
		Made: "riders, hang",
		Code: []finding.Code{
			{File: "payments/budget.go", Func: "Budget.AllowRetry", Why: "budget"},
			{File: "lab/broken/retries.go", Func: "RetryAtOnce", Why: "storm"},
		},
		Next:  "ridehail lab retries --rate 30 --budget 50: a budget may be too large (45 > 40)",
		Frame: func(v finding.Values) plot.Chart { return newRetryPlan(v).emptyChart() },
		Run:   runRetries,
	}
}

// capacity is how many requests a second the service can answer.
const capacity = 40.0

// retryPlan is a run as the knobs want it.
type retryPlan struct {
	rate    float64 // requests a second
	retries int
	budget  float64 // repetitions for each request
	timeout time.Duration
	hang    time.Duration
	watch   time.Duration // how long requests are sent after the hang
}

const (
	binLength = 250 * time.Millisecond
	hangFrom  = time.Second
	// lastPart is the end of the run, by which it is judged who recovered.
	lastPart = time.Second
)

func newRetryPlan(v finding.Values) retryPlan {
	p := retryPlan{rate: v.Number("rate"), retries: v.Int("retries"), budget: v.Number("budget") / 100,
		timeout: v.Milliseconds("timeout"), hang: v.Seconds("hang")}

	// Long enough to see the slowest recovery that the law foretells.
	p.watch = 4 * time.Second
	for policy := range policyNames {
		if after := p.recoveryTime(policy); after < 20 {
			p.watch = max(p.watch, time.Duration(1.6*after*float64(time.Second)))
		}
	}
	p.watch = min(p.watch.Round(binLength), 25*time.Second)
	return p
}

// runLength is how long requests are sent.
func (p retryPlan) runLength() time.Duration { return hangFrom + p.hang + p.watch }

func (p retryPlan) countBins() int { return int(p.runLength() / binLength) }

// repeatsPerRequest returns how often a policy repeats a request that keeps
// failing, on average.
func (p retryPlan) repeatsPerRequest(policy int) float64 {
	switch policy {
	case noRetry:
		return 0
	case withBudget, withBudgetNoOld:
		return min(p.budget, float64(p.retries))
	}
	return float64(p.retries)
}

// triesPerSecond returns how many tries a second reach the service while no
// answer comes in time.
func (p retryPlan) triesPerSecond(policy int) float64 {
	return p.rate * (1 + p.repeatsPerRequest(policy))
}

// recoveryTime is the law: the seconds from the end of the hang until answers
// are in time again. The queue that the hang left shrinks by what the service
// can do beyond the load, until the wait in it is no longer than the timeout.
// It is infinite where the load is no less than the capacity.
func (p retryPlan) recoveryTime(policy int) float64 {
	queue := min(p.hang.Seconds()*p.triesPerSecond(policy), queueLimit) - capacity*p.timeout.Seconds() + 1 // the one in hand
	switch {
	case p.hang < p.timeout || queue <= 0 || policy == withBudgetNoOld:
		return 0
	case p.triesPerSecond(policy) >= capacity:
		return math.Inf(1)
	}
	return queue / (capacity - p.triesPerSecond(policy))
}

// foretold is what the law says of a policy at the end of a run.
type foretold int

const (
	unsure foretold = iota // too near to the edge, or later than the run
	staysDown
	recovers
)

func (p retryPlan) foretellEnd(policy int) foretold {
	load, after := p.triesPerSecond(policy), p.recoveryTime(policy)
	if policy != withBudgetNoOld && load > .93*capacity && load < 1.07*capacity {
		return unsure
	}

	// The queue of the first requests alone, and that of all repetitions.
	wait := p.timeout.Seconds()
	least, most := p.hang.Seconds()*p.rate/capacity, p.hang.Seconds()*max(1, p.triesPerSecond(policy)/capacity)
	watched := (p.watch - lastPart).Seconds()
	switch {
	case most < wait/2:
		return recovers
	case policy == withBudgetNoOld && p.rate < .93*capacity:
		return recovers // all that it works on is in time, so little is repeated
	case policy == withBudgetNoOld:
		return unsure
	case least > 1.25*wait && load > capacity:
		return staysDown
	case load < capacity && after < .9*watched:
		return recovers
	}
	return unsure
}

// emptyChart is the chart before the first point.
func (p retryPlan) emptyChart() plot.Chart {
	end := p.runLength().Seconds()
	curves := []plot.Curve{{Name: "law: no more than what is asked", Style: plot.Law, Points: []plot.Point{{X: 0, Y: p.rate}, {X: end, Y: p.rate}}}}
	for _, name := range policyNames {
		curves = append(curves, plot.Curve{Name: name})
	}

	panel := plot.Panel{Curves: curves, Limits: []plot.Limit{{At: capacity, Name: "can answer 40 a second"}}}
	if p.hang > 0 {
		panel.Bands = []plot.Band{{From: hangFrom.Seconds(), To: (hangFrom + p.hang).Seconds(), Name: "stands still"}}
	}
	return plot.Chart{X: plot.Axis{Name: "asked at, seconds", End: end}, Y: plot.Axis{Name: "good answers a second", End: 44},
		Panels: []plot.Panel{panel}}
}
