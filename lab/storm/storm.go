// Package storm holds the lab's experiment about phones that all lose their
// connections at once.
package storm

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/simulators/loadgen"
)

// Storm returns the experiment storm.
func Storm() finding.Experiment {
	return finding.Experiment{
		Name:      "storm",
		Topic:     finding.LatencyAndLoss,
		Asks:      []string{"R4"},
		Question:  "What if all phones lose their connections at the same instant?",
		Teaser:    "all come back at once",
		Situation: "All phones wait before they dial again: all equally long, or each a random part of it (jitter).",
		Options: []string{"the worst 0.1 s is the same with jitter: the wait is short", "jitter cuts the worst 0.1 s to about half",
			"jitter cuts the worst 0.1 s to a quarter or less"},
		Takes: 16 * time.Second, TakesRedis: true, TakesDatabase: true,
		Knobs: []finding.Knob{
			{Name: "phones", Label: "Phones", Help: "How many lose their connections at the same instant. With 5000, turn cuts to 1.", Default: 1000, Low: 50, High: 5000, Step: 50},
			{Name: "wait", Label: "Wait before the first try", Help: "The whole of it without jitter, a random part with it.",
				Unit: "ms", Default: 200, Low: 100, High: 1000, Step: 100},
			{Name: "cuts", Label: "Cuts of each kind", Help: "How often all connections are cut, with jitter and without.", Default: 5, Low: 1, High: 5, Step: 1},
		},
		Real: "a node in this process, its WebSockets, store and Redis; phones that ride and resume",
		Made: "the riders, the cut",
		Code: []finding.Code{
			{File: "simulators/loadgen/phone.go", Func: "phone.decideRetry", Why: "jitter"},
			{File: "gateway/conn_limiter.go", Func: "connLimiter.admitPhone", Why: "the node's queue"},
		},
		Next:  "--phones 2000: the node lets in 1,000 a second and tells the others when to come back",
		Frame: func(v finding.Values) plot.Chart { return stormChart(newFigures(v)) },
		Run:   runStorm,
	}
}

const (
	phonesPerTrip = 10              // one phone in ten is a rider on a trip
	stormRide     = 2 * time.Minute // short, so that the load is soon steady
	stormFixes    = 2 * time.Second // between two positions
	stormWithin   = time.Minute     // phones that take longer count as lost
	calm          = 5               // steps between the last welcome and the next cut
	shownSteps    = 10              // at least, after the first tries
)

// figures are what a run measured.
type figures struct {
	Phones int   `json:"phones"`
	WaitMs int   `json:"wait_ms"`
	Cuts   []cut `json:"cuts"`
}

func newFigures(v finding.Values) figures {
	return figures{Phones: v.Int("phones"), WaitMs: v.Int("wait")}
}

// cut is what followed one cut. The lists are by steps of 0.1 s, of which the
// first begins with the cut; Away counts at the end of each step.
type cut struct {
	Jitter     bool    `json:"jitter"`
	Back       int     `json:"back"`
	Back99     float64 `json:"back_p99_s"`
	WorstAsked int     `json:"tries_chosen_in_worst_step"` // by the waits that phones chose
	WorstTried int     `json:"tries_made_in_worst_step"`
	Refused    int     `json:"refused_with_hint"`
	Failed     int     `json:"failed_otherwise"`
	Away       []int   `json:"phones_away"`
	Tries      []int   `json:"tries"`
	Statements []int   `json:"statements,omitempty"` // to Postgres, where that is the database
}

func runStorm(ctx context.Context, run *finding.Run) (found finding.Result, err error) {
	f := newFigures(run.Values)
	if err := checkOpenFiles(f.Phones, openFileLimit()); err != nil {
		return found, err
	}
	bed, err := openBed(ctx, run)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, bed.close()) }()

	s := scene{tries: new(stepCounter), statements: bed.meter}
	drivers := 2 * f.Phones / 5
	s.phones = loadgen.New(loadgen.Config{Server: bed.node.PublicURL(), City: bed.node.City(), Drivers: drivers, Riders: f.Phones - drivers,
		Rides: f.Phones / phonesPerTrip, Ride: stormRide, Fixes: stormFixes, FirstWait: run.Milliseconds("wait"), OnTry: s.tries.addStep, Seed: run.Seed})
	defer s.phones.Close()
	if err := s.phones.ConnectAll(ctx); err != nil {
		return found, err
	}

	// The two kinds take turns, so that a busy moment of the machine meets both.
	for i := range 2 * run.Int("cuts") {
		c, err := s.cutConnections(ctx, f.Phones, i%2 == 0)
		if err != nil {
			return found, err
		}
		if f.Cuts = append(f.Cuts, c); i < 2 {
			c.drawPoints(run)
		}
	}

	return finding.Result{Seen: f.optionSeen(), Table: stormTable(f), Chart: stormChart(f), Claims: judgeStorm(f), Notice: noticeStorm(f),
		Parts: bed.listParts(f), Figures: f}, nil
}

// scene is the phones, and what is counted of them.
type scene struct {
	phones     *loadgen.Generator
	tries      *stepCounter
	statements *statementMeter
}

// cutConnections cuts all connections after a calm moment, and returns when all
// phones are back, or after stormWithin.
func (s scene) cutConnections(ctx context.Context, phones int, jitter bool) (c cut, err error) {
	if !sleep.For(ctx, calm*stepLength) {
		return c, ctx.Err()
	}

	c.Jitter = jitter
	s.phones.SetJitter(jitter)
	s.tries.restartCount(0)
	s.statements.restartCount(0)
	began := s.phones.CutConnections()
	for step := 1; ; step++ {
		if !sleep.Until(ctx, began.Add(time.Duration(step)*stepLength)) {
			return c, ctx.Err()
		}

		away := phones - len(s.phones.ReturnTimes())
		c.Away = append(c.Away, away)
		if away == 0 || time.Duration(step)*stepLength > stormWithin {
			break
		}
	}

	c.Tries = s.tries.restartCount(len(c.Away))
	if s.statements.listener != nil {
		c.Statements = s.statements.restartCount(len(c.Away))
	}
	c.summarizePhones(s.phones)
	return c, nil
}

// summarizePhones fills what follows from the phones and the steps.
func (c *cut) summarizePhones(phones *loadgen.Generator) {
	times := quantile.Sort(phones.ReturnTimes())
	c.Back, c.Back99 = len(times), math.Round(times.At(.99).Seconds()*100)/100
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
