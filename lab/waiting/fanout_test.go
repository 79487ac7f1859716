package waiting

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
)

func fanoutPlanOf(t *testing.T, knobs map[string]string) fanoutPlan {
	t.Helper()
	return newFanoutPlan(findingtest.NewRun(t, Fanout(), knobs).Values)
}

// drawn counts what a seed has drawn for all requests, without calling anything.
func (p fanoutPlan) drawn(seed uint64) (f fanoutFigures) {
	f.Together = wayFigures{Requests: p.requests}
	f.Hedged = wayFigures{Requests: p.requests}
	for request := range p.requests {
		slow, whole, hedgedSlow := false, true, false
		for service := range p.services {
			a, b := p.drawFate(seed, callID{request, service, 0}), p.drawFate(seed, callID{request, service, 1})
			slow, whole = slow || a == fateSlow, whole && a != fateFail
			hedgedSlow = hedgedSlow || a == fateSlow && b != fateGood || a == fateFail && b == fateSlow
		}
		for hit, n := range map[*bool]*int{&slow: &f.Together.Slow, &whole: &f.Together.Whole, &hedgedSlow: &f.Hedged.Slow} {
			if *hit {
				*n++
			}
		}
	}
	f.InTurn = f.Together
	f.Silent = silentFigures{Seconds: 2, Fallback: silentRequests, Waited: 5}
	return f
}

func TestNearlyEverySeedIsWithinTheLaw(t *testing.T) {
	plan, outside := fanoutPlanOf(t, nil), 0
	for seed := range uint64(100) {
		outside += len(finding.Finding{Claims: plan.judgeFanout(plan.drawn(seed))}.Failed())
	}
	if outside > 2 { // of 300, and 0.3 are expected
		t.Errorf("%d claims of 100 seeds do not hold", outside)
	}
}

func TestTheRangeOfACountIsThatOfTheBinomialDistribution(t *testing.T) {
	for _, c := range []struct {
		n         int
		p         float64
		low, high int
	}{{100, 0, 0, 0}, {100, 1, 100, 100}, {1, .5, 0, 1}, {10, .5, 0, 10}, {100, .5, 34, 66}, {200, .01, 0, 8}} {
		low, high := binomialRange(c.n, c.p)
		if low != c.low || high != c.high {
			t.Errorf("%d with %g: %d to %d, want %d to %d", c.n, c.p, low, high, c.low, c.high)
		}
	}
	all := 0.0
	for k := range 61 {
		all += binomialChance(60, k, .3)
	}
	if math.Abs(all-1) > 1e-9 {
		t.Errorf("the probabilities add up to %g", all)
	}
}

// Each claim must be able to fail: by services whose faults have one cause, by
// a second call that goes the way of the first, by a caller without a deadline.
func TestEachClaimAboutFanoutCanFail(t *testing.T) {
	plan := fanoutPlanOf(t, nil)
	good := plan.drawn(1)
	oneService := plan
	oneService.services = 1 // what all services together are, when all are slow at once
	shared := oneService.drawn(1)
	for name, c := range map[string]struct {
		change func(f *fanoutFigures)
		want   int
	}{
		"services that are slow together":  {func(f *fanoutFigures) { f.Together.Slow, f.InTurn.Slow = shared.Together.Slow, shared.Together.Slow }, 0},
		"in turn meets others":             {func(f *fanoutFigures) { f.InTurn.Slow++ }, 0},
		"services that fail together":      {func(f *fanoutFigures) { f.Together.Whole = shared.Together.Whole }, 1},
		"a hedge that meets the same fate": {func(f *fanoutFigures) { f.Hedged.Slow = f.Together.Slow }, 2},
		"no deadline":                      {func(f *fanoutFigures) { f.Silent.Fallback = f.Silent.Unbounded }, 3},
		"no breaker":                       {func(f *fanoutFigures) { f.Silent.Waited = silentRequests }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := good
			c.change(&f)
			findingtest.CheckFailing(t, plan.judgeFanout(f), c.want)
		})
	}
}

func TestFanoutRunsAndCountsWhatTheSeedDrew(t *testing.T) {
	slowtest.Require(t)
	run := findingtest.NewRun(t, Fanout(), map[string]string{"services": "5", "slow": "5", "fail": "5", "requests": "50"})
	points := map[string]int{}
	run.OnPoint = func(curve string, _ plot.Point) { points[curve]++ }
	found := findingtest.CheckShown(t, Fanout(), run)
	findingtest.CheckFailing(t, found.Claims)

	f, want := found.Figures.(fanoutFigures), newFanoutPlan(run.Values).drawn(1)
	if f.InTurn.Slow != want.Together.Slow || f.Together.Slow != want.Together.Slow ||
		f.Together.Whole != want.Together.Whole || f.Hedged.Slow != want.Hedged.Slow {
		t.Errorf("counted %+v, drawn %+v", f, want)
	}
	if f.Later.Whole != laterRequestsMade || f.Silent.Later.Whole != silentRequests || f.Silent.LaterWithin != 0 {
		t.Errorf("of the jobs %+v, while one was silent %+v", f.Later, f.Silent)
	}
	if steps := len(newFanoutPlan(run.Values).axisSteps()); points[curveSlow] != steps || points[curveHedged] != steps {
		t.Errorf("told of %v points, want %d each", points, steps)
	}
}

func TestJobsThatCannotBeLeftKeepNobodyWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	later := newLaterRequests(&caller{mapServices: &mapServices{plan: fanoutPlanOf(t, nil)}}, 3, time.Second)
	f, err := later.run(ctx)
	if !errors.Is(err, context.Canceled) || f.Accepted != 0 {
		t.Errorf("%d jobs were left, %v", f.Accepted, err)
	}
	select {
	case <-later.left:
	default:
		t.Error("its caller would wait for the jobs for ever")
	}
}

func TestAStoppedExperimentEndsSoon(t *testing.T) {
	for _, c := range []struct {
		e      finding.Experiment
		turned map[string]string
	}{{Fanout(), map[string]string{"services": "5"}}, {Provider(), nil}, {Retries(), nil}} {
		t.Run(c.e.Name, func(t *testing.T) {
			t.Parallel()
			findingtest.CheckStops(t, c.e, findingtest.NewRun(t, c.e, c.turned))
		})
	}
}
