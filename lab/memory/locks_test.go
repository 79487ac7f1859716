package memory

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/finding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newRun returns a run with some knobs turned.
func newRun(t *testing.T, e finding.Experiment, turned map[string]string) *finding.Run {
	t.Helper()
	values, err := e.Check(turned)
	if err != nil {
		t.Fatal(err)
	}
	return &finding.Run{Values: values, Seed: 1}
}

// checkShown fails when a finding cannot be shown as it should be.
func checkShown(t *testing.T, e finding.Experiment, run *finding.Run) finding.Finding {
	t.Helper()
	f, err := e.Perform(t.Context(), run, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range f.Problems() {
		t.Error(problem)
	}
	t.Log("\n" + f.Text(false))
	return f
}

// checkStops fails when a run does not end soon after its context, or not with
// the context's error. TestMain fails when it leaves something running.
func checkStops(t *testing.T, e finding.Experiment, run *finding.Run) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var stopped time.Time
	run.OnPoint = func(string, plot.Point) {
		if stopped.IsZero() {
			stopped = time.Now()
			stop()
		}
	}

	if _, err := e.Perform(ctx, run, finding.NoGuess); !errors.Is(err, context.Canceled) {
		t.Errorf("the stopped run returned %v", err)
	}
	if late := time.Since(stopped); late > 2*time.Second {
		t.Errorf("the run ended %v after it was stopped", late)
	}
}

// failing returns the numbers of the claims that do not hold.
func failing(claims []finding.Claim) (out []int) {
	for i, c := range claims {
		if !c.Holds {
			out = append(out, i)
		}
	}
	return out
}

// lawful returns the curves that the laws give for a visit of the hold and a
// little more.
func lawful(v finding.Values) []curve {
	one := 0.9 / v.Milliseconds("hold").Seconds()
	var curves []curve
	for _, w := range lockWays(v) {
		c := curve{way: w, workers: workerSteps(v.Int("workers"))}
		for _, n := range c.workers {
			serial := 0.
			if w.mostAtOnce > 0 {
				serial = 1 / float64(w.mostAtOnce)
			}
			c.perSec = append(c.perSec, amdahl{one, serial}.at(float64(n)))
		}
		curves = append(curves, c)
	}
	return curves
}

// waitOutside returns a way under the same name that waits without a lock.
func waitOutside(w way) way {
	w.open = func() (visitor, func()) { return snapshot(), func() {} }
	return w
}

// The broken ways are run, and each takes a right one's place among the curves
// of the laws.
func TestEachClaimAboutLocksCanFail(t *testing.T) {
	e := Locks()
	right := lawful(newRun(t, e, map[string]string{"workers": "32", "hold": "2"}).Values)
	for name, broken := range map[string]struct {
		turned map[string]string
		place  string // of the way that breaks
		way    func(way) way
		fails  int
	}{
		"locks that are let go before the wait": {place: nameLocks(4), fails: 0, way: waitOutside},
		"an owner that waits for nothing":       {place: owned, fails: 3, way: waitOutside},
		"one popular driver, 16 locks":          {turned: map[string]string{"hot": "100"}, place: nameLocks(16), fails: 1},
		"readers who lock as writers":           {turned: map[string]string{"writes": "100"}, place: sharedLock, fails: 2},
	} {
		t.Run(name, func(t *testing.T) {
			turned := map[string]string{"workers": "32", "hold": "2"}
			for k, v := range broken.turned {
				turned[k] = v
			}
			run := newRun(t, e, turned)
			curves := slices.Clone(right)
			at := slices.IndexFunc(curves, func(c curve) bool { return c.name == broken.place })
			w := curves[at].way
			if broken.way != nil {
				w = broken.way(w)
			}

			measured, err := measureCurves(t.Context(), run, []way{w}, 1)
			if err != nil {
				t.Fatal(err)
			}
			curves[at] = measured[0]
			if got := failing(judgeLocks(run.Values, curves)); !slices.Equal(got, []int{broken.fails}) {
				t.Errorf("claims %v do not hold, want %d: %+v", got, broken.fails, judgeLocks(run.Values, curves))
			}
		})
	}

	if got := failing(judgeLocks(newRun(t, e, map[string]string{"workers": "32", "hold": "2"}).Values, right)); len(got) > 0 {
		t.Errorf("by the laws claims %v do not hold", got)
	}
}

func TestLocksRunAndCanBeShown(t *testing.T) {
	slowtest.Require(t)
	f := checkShown(t, Locks(), newRun(t, Locks(), map[string]string{"workers": "16"}))
	if failed := f.Failed(); len(failed) > 0 {
		t.Errorf("do not hold: %+v", failed)
	}
}

func TestLocksStopWithTheirContext(t *testing.T) {
	checkStops(t, Locks(), newRun(t, Locks(), map[string]string{"hold": "20", "workers": "64"}))
}

func TestTheAppMovesAllCarsThatItIsAskedToMove(t *testing.T) {
	f := newFleet(4)
	if moved := f.moveSome(f.indices(), 0); moved != movesAtOnce {
		t.Errorf("%d of %d moves were believed", moved, movesAtOnce)
	}
}

func TestFittedLawsFindTheirOwnFigures(t *testing.T) {
	workers := []int{1, 2, 4, 8, 16, 32}
	for _, law := range []usl{{900, 0, 0}, {900, 1, 0}, {900, 0.25, 0}, {1000, 0.1, 0.002}, {20_000, 0.02, 0.0001}} {
		var perSec []float64
		for _, n := range workers {
			perSec = append(perSec, law.at(float64(n)))
		}
		got := fitUSL(law.one, workers, perSec)
		if math.Abs(got.serial-law.serial) > 1e-9 || math.Abs(got.pairs-law.pairs) > 1e-9 {
			t.Errorf("%+v became %+v", law, got)
		}
		if a := fitAmdahl(law.one, workers, perSec); law.pairs == 0 && math.Abs(a.serial-law.serial) > 1e-9 {
			t.Errorf("%+v became %+v", law, a)
		}
	}

	// More than in proportion: no cost below nothing.
	if got := fitUSL(100, []int{1, 2, 4}, []float64{100, 220, 500}); got.serial != 0 || got.pairs != 0 {
		t.Errorf("faster than in proportion became %+v", got)
	}
}

func TestTheOptionFollowsTheGain(t *testing.T) {
	for gain, want := range map[float64]int{1: 0, 1.6: 0, 3: 1, 10.9: 2, 14: 2, 16: 3} {
		curves := []curve{{way{name: nameLocks(1)}, []int{8}, []float64{100}}, {way{name: nameLocks(16)}, []int{8}, []float64{100 * gain}}}
		if got := locksSeen(curves); got != want {
			t.Errorf("%g times: option %d, want %d", gain, got, want)
		}
	}
}
