package waiting

import (
	"math"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Provider returns the experiment provider.
func Provider() finding.Experiment {
	return finding.Experiment{
		Name:      "provider",
		Topic:     finding.Waiting,
		Asks:      []string{"P5", "R3"},
		Question:  "A queue or a direct message to a provider that is slow or dead?",
		Teaser:    "queue or direct",
		Situation: "12 rides a second end while the payment provider is dead for 1.5 s. What does a queue change?",
		Options: []string{"Rides are refused all the same", "None is refused, some are paid twice",
			"None is refused, each is paid once", "None is refused, some are never paid"},

		Knobs: []finding.Knob{
			{Name: "provider", Label: "Provider", Help: "What becomes of the payment provider for a while.", Choices: []string{"dead", "slow"}},
			{Name: "outage", Label: "For", Help: "How long.", Unit: "s", Default: 1.5, Low: 0, High: 3, Step: .25},
			{Name: "rate", Label: "Rides", Help: "Rides that end a second.", Unit: "/s", Default: 12, Low: 2, High: 20, Step: 1},
			{Name: "lost", Label: "Lost answers", Help: "Charges that are made, but whose answer is lost.", Unit: "%", Default: 20, Low: 0, High: 50, Step: 5},
		},
		Takes: 6 * time.Second,

		Real: "store, outbox, relay, queue, worker, settler, HTTP",
		Made: "rides, outage, provider; no reconciler, no retry budget",
		Code: []finding.Code{
			{File: "events/worker.go", Func: "Worker.runJob", Why: "ack last"},
			{File: "payments/settle.go", Func: "Settler.takePayment", Why: "one try"},
		},
		Next:  "ridehail lab provider --provider slow --rate 8, and --lost 50: who pays twice",
		Frame: func(v finding.Values) plot.Chart { return newOutagePlan(v).emptyChart() },
		Run:   runProvider,
	}
}

// outagePlan is a run as the knobs want it.
type outagePlan struct {
	dead   bool // or slow
	outage time.Duration
	rate   float64 // rides a second
	lost   float64 // share of the charges
}

const (
	outageFrom = 750 * time.Millisecond
	// afterOutage is how long rides end after the outage.
	afterOutage = 1250 * time.Millisecond

	providerTakes     = 100 * time.Millisecond // for a request
	slowProviderTakes = 350 * time.Millisecond
	providerTimeout   = 450 * time.Millisecond // of its clients
	workers           = 4                      // jobs at a time
	poisonJobs        = 3
)

func newOutagePlan(v finding.Values) outagePlan {
	return outagePlan{dead: v.Choice("provider") == "dead", outage: v.Seconds("outage"), rate: v.Number("rate"), lost: v.Number("lost") / 100}
}

func (p outagePlan) outageTo() time.Duration  { return outageFrom + p.outage }
func (p outagePlan) runLength() time.Duration { return p.outageTo() + afterOutage }

// chartEnd is when a run is over if all jobs are done.
func (p outagePlan) chartEnd() time.Duration { return p.runLength() + 1250*time.Millisecond }

// workTime is how long a worker is busy with a ride, on average, when a request
// takes so long: the charge, and after a lost answer another one, which is a
// duplicate, and its verification.
func (p outagePlan) workTime(request time.Duration) time.Duration {
	return time.Duration(float64(request) * (1 + 2*p.lost))
}

// backlogAt is the law: rides that are not paid grow by what comes and is not
// done in the outage, and then shrink by what can be done beyond what comes.
func (p outagePlan) backlogAt(at time.Duration) float64 {
	during := 0.0
	if !p.dead {
		during = workers / p.workTime(slowProviderTakes).Seconds()
	}

	coming := func(from, to time.Duration) float64 { return p.rate * max(0, min(at, to)-from).Seconds() }
	b := max(0, coming(outageFrom, p.outageTo())-during*max(0, min(at, p.outageTo())-outageFrom).Seconds())
	b += coming(p.outageTo(), p.runLength()) - workers/p.workTime(providerTakes).Seconds()*max(0, at-p.outageTo()).Seconds()
	return max(0, b)
}

// backlogTop is the backlog at the end of the outage.
func (p outagePlan) backlogTop() float64 { return p.backlogAt(p.outageTo()) }

// shrinkTime is how long it takes after the outage until no backlog is left.
func (p outagePlan) shrinkTime() time.Duration {
	at := p.outageTo()
	for p.backlogAt(at) > 0 {
		at += tick
	}
	return at - p.outageTo()
}

// underWay is how many rides may be unpaid at any moment without an outage.
func (p outagePlan) underWay() float64 {
	return math.Ceil(2 * p.rate * p.workTime(providerTakes).Seconds())
}

// The curves of the chart.
const (
	curveQueue    = "queue: not yet paid"
	curveAckFirst = "acknowledged first: not yet paid"
	curveDirect   = "direct: refused so far"
)

// emptyChart is the chart before the first point.
func (p outagePlan) emptyChart() plot.Chart {
	law := plot.Curve{Name: "law: rate x outage, then what is left over", Style: plot.Law}
	for at := time.Duration(0); at <= p.chartEnd(); at += tick {
		law.Points = append(law.Points, plot.Point{X: at.Seconds(), Y: p.backlogAt(at)})
	}

	panel := plot.Panel{Curves: []plot.Curve{law, {Name: curveQueue}, {Name: curveAckFirst}, {Name: curveDirect}}}
	if p.outage > 0 {
		name := "slow"
		if p.dead {
			name = "dead"
		}
		panel.Bands = []plot.Band{{From: outageFrom.Seconds(), To: p.outageTo().Seconds(), Name: "provider is " + name}}
	}
	return plot.Chart{X: plot.Axis{Name: "seconds", End: math.Ceil(p.chartEnd().Seconds())},
		Y: plot.Axis{Name: "rides", End: math.Ceil(1.5*p.rate*p.outage.Seconds()/10+1) * 10}, Panels: []plot.Panel{panel}}
}
