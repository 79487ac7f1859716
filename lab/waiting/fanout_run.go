package waiting

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/lab/finding"
)

// wayFigures are what was counted of one way to ask.
type wayFigures struct {
	Requests int           `json:"requests"`
	Slow     int           `json:"met_a_slow_one"`
	Whole    int           `json:"whole"`
	Calls    int64         `json:"calls"`
	took     time.Duration // median
	// By the steps of the plan: the same counts had only so many services been
	// asked.
	slowOf, wholeOf []int
}

// fanoutFigures are those of a run.
type fanoutFigures struct {
	InTurn   wayFigures    `json:"in_turn"`
	Together wayFigures    `json:"together"`
	Hedged   wayFigures    `json:"hedged"`
	Later    laterFigures  `json:"asynchronous"`
	Silent   silentFigures `json:"one_silent"`

	laterCalls int64
}

func runFanout(ctx context.Context, run *finding.Run) (finding.Result, error) {
	plan := newFanoutPlan(run.Values)
	services, err := openServices(plan, run.Seed)
	if err != nil {
		return finding.Result{}, err
	}
	defer services.Close()

	c := &caller{mapServices: services, from: corners[0], to: corners[2]}
	f, err := c.measureWays(ctx, run)
	if err != nil {
		return finding.Result{}, err
	}

	out := plan.buildResult(f)
	out.Parts = []finding.Part{{Name: fmt.Sprintf("%d routing services", plan.services), Where: services.listAddresses(),
		Count: fmt.Sprintf("%d calls", services.countCalls())},
		{Name: "embedded Redis", Count: fmt.Sprintf("%d jobs, %d deliveries", f.Later.Accepted+f.Silent.Later.Accepted,
			f.Later.Deliveries+f.Silent.Later.Deliveries)}}
	return out, nil
}

// measureWays asks in all ways, one after the other.
func (c *caller) measureWays(ctx context.Context, run *finding.Run) (f fanoutFigures, err error) {
	if f.InTurn, err = c.measureWay(ctx, 32, c.askInTurn); err != nil {
		return f, err
	}

	f.Together, err = c.measureWay(ctx, 4, func(ctx context.Context, i int) gathered { return c.askTogether(ctx, i, c.askOnce) })
	if err != nil {
		return f, err
	}
	c.plan.tellPoints(run, curveSlow, f.Together.slowOf, f.Together.Requests)
	c.plan.tellPoints(run, curveWhole, f.Together.wholeOf, f.Together.Requests)

	f.Hedged, err = c.measureWay(ctx, 2, func(ctx context.Context, i int) gathered { return c.askTogether(ctx, i, c.askHedged) })
	if err != nil {
		return f, err
	}
	c.plan.tellPoints(run, curveHedged, f.Hedged.slowOf, f.Hedged.Requests)

	before := c.countCalls()
	if f.Later, err = newLaterRequests(c, min(laterRequestsMade, c.plan.requests), c.plan.wait+2*time.Second).run(ctx); err != nil {
		return f, err
	}
	f.laterCalls = c.countCalls() - before
	f.Silent, err = c.askSilent(ctx)
	return f, err
}

// measureWay makes all requests in one way.
func (c *caller) measureWay(ctx context.Context, atOnce int, ask func(ctx context.Context, request int) gathered) (wayFigures, error) {
	before := c.countCalls()
	all, err := c.askAll(ctx, atOnce, ask)
	f := c.plan.countEnds(all)
	f.Calls = c.countCalls() - before
	return f, err
}

// countEnds counts how requests ended.
func (p fanoutPlan) countEnds(all []gathered) wayFigures {
	f := wayFigures{Requests: len(all)}
	for _, n := range p.axisSteps() {
		slow, whole := 0, 0
		for _, g := range all {
			if g.firstSlow < n {
				slow++
			}
			if g.firstFail >= n {
				whole++
			}
		}
		f.slowOf, f.wholeOf = append(f.slowOf, slow), append(f.wholeOf, whole)
		f.Slow, f.Whole = slow, whole
	}

	took := make([]time.Duration, len(all))
	for i, g := range all {
		took[i] = g.took
	}
	f.took = quantile.Sort(took).At(.5)
	return f
}

// curvePoints are a curve of counts, in percent, by the steps of the plan.
func (p fanoutPlan) curvePoints(counts []int, requests int) []plot.Point {
	out := make([]plot.Point, len(counts))
	for i, n := range p.axisSteps() {
		out[i] = plot.Point{X: float64(n), Y: 100 * float64(counts[i]) / float64(requests)}
	}
	return out
}

func (p fanoutPlan) tellPoints(run *finding.Run, curve string, counts []int, requests int) {
	for _, at := range p.curvePoints(counts, requests) {
		run.Point(curve, at.X, at.Y)
	}
}
