package waiting

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
)

func TestTheProviderIsAskedLaterAndTheRidesGoOn(t *testing.T) {
	slowtest.Require(t)
	for _, kind := range []string{"dead", "slow"} {
		t.Run(kind, func(t *testing.T) {
			run := findingtest.NewRun(t, Provider(), map[string]string{"provider": kind, "outage": "0.75", "rate": "10"})
			found := findingtest.CheckShown(t, Provider(), run)
			findingtest.CheckFailing(t, found.Claims)
			if found.Seen != "C" {
				t.Errorf("seen is option %s, want C", found.Seen)
			}

			f := found.Figures.([]outageFigures)
			if f[direct].Refused == 0 || f[direct].Taken <= f[direct].Booked {
				t.Errorf("asked directly, nothing was refused, or nothing taken for nothing: %+v", f[direct])
			}
			if f[ackFirst].Booked == f[ackFirst].Rides || len(f[ackFirst].Letters) != 0 {
				t.Errorf("acknowledged first, nothing was lost: %+v", f[ackFirst])
			}

			// The broken ways in the place of the app's: what each breaks is seen.
			// With a reference per try, no other claim is broken.
			findingtest.CheckFailing(t, judgeProvider(f[perTry], f[perTry]), 1)
			for _, c := range []struct{ way, claim int }{{direct, 0}, {ackFirst, 1}, {ackFirst, 2}, {ackFirst, 3}} {
				if claim := judgeProvider(f[c.way], f[perTry])[c.claim]; claim.Holds {
					t.Errorf("with %s in the place of the queue it holds: %+v", wayNames[c.way], claim)
				}
			}
		})
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
	findingtest.CheckFailing(t, judgeProvider(queue, without))

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
		t.Run(name, func(t *testing.T) {
			q := queue
			c.change(&q)
			findingtest.CheckFailing(t, judgeProvider(q, without), c.want)
		})
	}

	without.Taken = 10 // answers were lost, and no fare was taken twice
	findingtest.CheckFailing(t, judgeProvider(queue, without), 1)
}

func TestTheBacklogOfTheLawIsATriangle(t *testing.T) {
	plan := newOutagePlan(findingtest.NewRun(t, Provider(), map[string]string{"lost": "0"}).Values)
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
	plan := newOutagePlan(findingtest.NewRun(t, Provider(), nil).Values)
	f := outageFigures{backlog: []plot.Point{{X: 0, Y: 0}, {X: 1, Y: 20}, {X: 3, Y: 0}}}
	f.measureBacklog(plan)
	if f.Area != 30 || f.Top != 20 || f.Empty != .75 {
		t.Errorf("measured %+v, want an area of 30, a top of 20, and empty 0.75 s after the outage", f)
	}
}
