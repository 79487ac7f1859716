package waiting

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// wayFigures are what was counted of one way to ask.
type wayFigures struct {
	Requests int   `json:"requests"`
	Slow     int   `json:"met_a_slow_one"`
	Whole    int   `json:"whole"`
	Calls    int64 `json:"calls"`
	took     time.Duration
	// By the steps of the plan: the same counts had only so many services been
	// asked.
	SlowOf, WholeOf []int `json:"-"`
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
		{Name: "embedded Redis", Count: fmt.Sprintf("%d jobs, %d deliveries", f.Later.Accepted+f.Silent.Later.Accepted, f.Later.Deliveries+f.Silent.Later.Deliveries)}}
	return out, nil
}

// measureWays asks in all ways, one after the other.
func (c *caller) measureWays(ctx context.Context, run *finding.Run) (f fanoutFigures, err error) {
	f.InTurn = c.countEnds(c.askAll(ctx, 32, func(ctx context.Context, i int) gathered { return c.inTurn(ctx, i) }))
	f.Together = c.countEnds(c.askAll(ctx, 4, func(ctx context.Context, i int) gathered { return c.askTogether(ctx, i, c.askOnce) }))
	c.plan.tellPoints(run, curveSlow, f.Together.SlowOf, f.Together.Requests)
	c.plan.tellPoints(run, curveWhole, f.Together.WholeOf, f.Together.Requests)
	f.Hedged = c.countEnds(c.askAll(ctx, 2, func(ctx context.Context, i int) gathered { return c.askTogether(ctx, i, c.askHedged) }))
	c.plan.tellPoints(run, curveHedged, f.Hedged.SlowOf, f.Hedged.Requests)
	if ctx.Err() != nil {
		return f, ctx.Err()
	}

	before := c.mapServices.countCalls()
	if f.Later, err = newLaterRequests(c, min(laterRequestsMade, c.plan.requests), c.plan.wait+2*time.Second).run(ctx, nil); err != nil {
		return f, err
	}
	f.laterCalls = c.mapServices.countCalls() - before
	f.Silent, err = c.askSilent(ctx)
	return f, err
}

// countEnds counts how requests ended.
func (c *caller) countEnds(all []gathered) wayFigures {
	f := wayFigures{Requests: len(all), Calls: c.mapServices.countCalls()}
	took := make([]time.Duration, len(all))
	for i, g := range all {
		took[i] = g.took
	}
	for _, n := range c.plan.axisSteps() {
		slow, whole := 0, 0
		for _, g := range all {
			if g.firstSlow < n {
				slow++
			}
			if g.firstFail >= n {
				whole++
			}
		}
		f.SlowOf, f.WholeOf = append(f.SlowOf, slow), append(f.WholeOf, whole)
		f.Slow, f.Whole = slow, whole
	}
	f.took = medianOf(took)
	for _, s := range c.services {
		s.calls.Store(0)
	}
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
