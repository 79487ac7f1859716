package waiting

import (
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/finding"
)

func TestTheProviderIsAskedLaterAndTheRidesGoOn(t *testing.T) {
	slowtest.Require(t)
	for _, kind := range []string{"dead", "slow"} {
		run := newRun(t, Provider(), map[string]string{"provider": kind, "outage": "0.75", "rate": "10"})
		found, err := Provider().Perform(t.Context(), run, finding.NoGuess)
		if err != nil {
			t.Fatal(err)
		}
		if bad := failed(found.Claims); bad != nil || found.Seen != "C" || found.Problems() != nil {
			t.Errorf("%s: claims %v do not hold, option %s: %+v; problems %q", kind, bad, found.Seen, found.Claims, found.Problems())
		}

		f := found.Figures.([]outageFigures)
		if f[direct].Refused == 0 || f[direct].Taken <= f[direct].Booked {
			t.Errorf("%s: asked directly, nothing was refused, or nothing taken for nothing: %+v", kind, f[direct])
		}
		if f[ackFirst].Booked == f[ackFirst].Rides || len(f[ackFirst].Letters) != 0 {
			t.Errorf("%s: acknowledged first, nothing was lost: %+v", kind, f[ackFirst])
		}

		// The broken ways in the place of the app's: what each breaks is seen.
		// With a reference per try, no other claim is broken.
		for _, c := range []struct{ way, claim int }{{direct, 0}, {perTry, 1}, {ackFirst, 1}, {ackFirst, 2}, {ackFirst, 3}} {
			if bad := failed(judgeProvider(f[c.way], f[perTry])); !slices.Contains(bad, c.claim) || c.way == perTry && len(bad) != 1 {
				t.Errorf("%s: %s in the place of the queue makes claims %v false, want %d", kind, wayNames[c.way], bad, c.claim)
			}
		}
	}
}

// settledFigures are those of a run in which all is well, of ten rides.
func settledFigures() (queue, without outageFigures) {
	letters := map[string]int{poisonJob(0): 1, poisonJob(1): 1, poisonJob(2): 1}
	queue = outageFigures{Rides: 10, Taken: 10, Booked: 10, Lost: 2, Letters: letters, Area: 4.1, Waits: 4}
	without = queue
	without.Taken = 12
	return queue, without
}

func TestEachClaimAboutTheProviderCanFail(t *testing.T) {
	queue, without := settledFigures()
	if bad := failed(judgeProvider(queue, without)); bad != nil {
		t.Fatalf("claims %v do not hold of good figures", bad)
	}

	for name, c := range map[string]struct {
		change func(q *outageFigures)
		want   int
	}{
		"a ride is refused":    {func(q *outageFigures) { q.Refused = 1 }, 0},
		"a reference per try":  {func(q *outageFigures) { q.Taken = without.Taken }, 1},
		"a ride is never paid": {func(q *outageFigures) { q.Taken, q.Booked = 9, 9 }, 1},
		"a letter is missing":  {func(q *outageFigures) { q.Letters = map[string]int{poisonJob(0): 1, poisonJob(1): 1} }, 2},
		"a letter is written twice": {func(q *outageFigures) {
			q.Letters = map[string]int{poisonJob(0): 1, poisonJob(1): 2, poisonJob(2): 1}
		}, 2},
		"a good job has a letter": {func(q *outageFigures) {
			q.Letters = map[string]int{poisonJob(0): 1, poisonJob(1): 1, poisonJob(2): 1, "ride-001": 1}
		}, 2},
		"jobs go in and never come out": {func(q *outageFigures) { q.Area = 12 }, 3},
	} {
		q := queue
		c.change(&q)
		if bad := failed(judgeProvider(q, without)); !slices.Equal(bad, []int{c.want}) {
			t.Errorf("%s: claims %v fail, want %d", name, bad, c.want)
		}
	}

	without.Taken = 10
	if bad := failed(judgeProvider(queue, without)); !slices.Equal(bad, []int{1}) {
		t.Errorf("answers were lost, and no fare was taken twice: claims %v fail, want 1", bad)
	}
}

func TestTheBacklogOfTheLawIsATriangle(t *testing.T) {
	plan := newOutagePlan(newRun(t, Provider(), map[string]string{"lost": "0"}).Values)
	for at, want := range map[time.Duration]float64{0: 0, outageFrom: 0, outageFrom + time.Second: 12, plan.outageTo(): 18,
		plan.outageTo() + 500*time.Millisecond: 4, plan.chartEnd(): 0} {
		if got := plan.backlogAt(at); got < want-1e-6 || got > want+1e-6 {
			t.Errorf("after %v it is %g, want %g", at, got, want)
		}
	}

	plan.dead = false // a slow one does 11.4 a second, and 12 come
	if top := plan.backlogTop(); top < .8 || top > .9 {
		t.Errorf("with a slow provider the top is %g", top)
	}
}

func TestTheBacklogIsMeasuredByItsArea(t *testing.T) {
	plan := newOutagePlan(newRun(t, Provider(), nil).Values)
	f := outageFigures{backlog: []plot.Point{{X: 0, Y: 0}, {X: 1, Y: 20}, {X: 3, Y: 0}}}
	f.measureBacklog(plan)
	if f.Area != 30 || f.Top != 20 || f.Empty != .75 {
		t.Errorf("measured %+v, want an area of 30, a top of 20, and empty 0.75 s after the outage", f)
	}
}
