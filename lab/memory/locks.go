package memory

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Locks returns the experiment locks.
func Locks() finding.Experiment {
	return finding.Experiment{
		Name:      "locks",
		Topic:     finding.MessagesOrMemory,
		Asks:      []string{"R1", "R5", "P3"},
		Question:  "When does shared memory stop scaling?",
		Teaser:    "when memory stops",
		Situation: "Many workers wait for a disk, each with a lock in its hand. 16 locks in place of 1 do:",
		Options:   []string{"about as much", "about 3 times as much", "10 to 14 times as much", "16 times as much"},
		Knobs: []finding.Knob{
			{Name: "workers", Label: "Workers", Help: "Workers at the right end of the curves.", Default: 32, Low: 4, High: 64, Step: 1},
			{Name: "hold", Label: "A lock is held for", Help: "How long a worker waits with a lock in its hand.", Unit: "ms",
				Default: 1, Low: 0.5, High: 20, Step: 0.5, Log: true},
			{Name: "hot", Label: "Work on one driver", Help: "Share of all work that is about one popular driver.", Unit: "%",
				Default: 0, Low: 0, High: 100, Step: 1},
			{Name: "writes", Label: "Writes", Help: "Share of the work on the RWMutex that writes.", Unit: "%",
				Default: 1, Low: 0, High: 100, Step: 1},
		},
		Takes: 5 * time.Second,
		Real:  "locks, goroutines, the app's sharedstate",
		Made:  "the wait for a disk",
		Code: []finding.Code{
			{File: "sharedstate/drivers.go", Func: "DriverHandle.Move", Why: "no wait under a lock"},
			{File: "lab/memory/lock_ways.go", Func: "stripes", Why: "the mistake"},
			{File: "lab/memory/lock_ways.go", Func: "snapshot", Why: "the repair"},
		},
		Next:  "--hot 100: one popular driver makes one lock of 64. Then: ridehail lab races",
		Frame: locksFrame,
		Run:   runLocks,
	}
}

// Each way works this often, and for so long or for three holds, with each
// number of workers. The best counts: what else runs on the machine can only
// take away.
const (
	cellRounds = 3
	cellLength = 30 * time.Millisecond
)

// curve is what one way did, by the number of workers.
type curve struct {
	way
	workers []int
	perSec  []float64
}

// lastSpeed returns what the most workers did.
func (c curve) lastSpeed() float64 { return c.perSec[len(c.perSec)-1] }

func runLocks(ctx context.Context, run *finding.Run) (finding.Result, error) {
	curves, err := measureCurves(ctx, run, lockWays(run.Values), cellRounds)
	if err != nil {
		return finding.Result{}, err
	}
	app, err := measureApp(ctx, run)
	if err != nil {
		return finding.Result{}, err
	}
	return locksResult(run.Values, curves, app), nil
}

// workerSteps doubles the workers up to the most.
func workerSteps(most int) (out []int) {
	for n := 1; n < most; n *= 2 {
		out = append(out, n)
	}
	return append(out, most)
}

// measureCurves measures all ways, round by round.
func measureCurves(ctx context.Context, run *finding.Run, ways []way, rounds int) ([]curve, error) {
	var curves []curve
	for _, w := range ways {
		steps := workerSteps(run.Int("workers"))
		curves = append(curves, curve{w, steps, make([]float64, len(steps))})
	}

	for range rounds {
		for _, c := range curves {
			for i, workers := range c.workers {
				done, took := runCell(run, c.open, workers)
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				c.perSec[i] = max(c.perSec[i], float64(done)/took.Seconds())
				run.Point(c.name, float64(workers), c.perSec[i])
			}
		}
	}
	return curves, nil
}

// runCell lets workers visit drivers until the cell's time is over. It returns
// how many visits ended, and how long the cell took in all: no visit lies
// partly outside of that time.
func runCell(run *finding.Run, open func() (visit visitor, closeWay func()), workers int) (done int64, took time.Duration) {
	visit, closeWay := open()
	hot, writes := run.Number("hot")/100, run.Number("writes")/100
	wait := run.Milliseconds("hold")
	length := max(cellLength, 3*wait)

	var visits atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	isOver := func() bool { return time.Since(began) >= length }
	hold := func() bool {
		if isOver() {
			return false // do not begin what others would have to wait for
		}
		time.Sleep(wait)
		return true
	}

	for i := range workers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(run.Seed, uint64(i)))
			for !isOver() {
				driver := rng.IntN(driverCount)
				if rng.Float64() < hot {
					driver = 0
				}
				if visit(driver, rng.Float64() < writes, hold) {
					visits.Add(1)
				}
			}
		})
	}
	all.Wait()
	took = time.Since(began)
	closeWay()
	return visits.Load(), took
}

// Panels of the chart.
const (
	locksPanel  = "locks held over the wait"
	othersPanel = "other ways"
	fittedPanel = "16 locks, fitted"
)

// locksFrame shows the laws: Amdahl's, with a serial share of one lock's, and
// no bound but the workers.
func locksFrame(v finding.Values) plot.Chart {
	most, perLock := v.Int("workers"), 1/v.Milliseconds("hold").Seconds()
	law := func(name string, y func(workers float64) float64) plot.Curve {
		c := plot.Curve{Name: name, Style: plot.Law}
		for _, w := range workerSteps(most) {
			c.Points = append(c.Points, plot.Point{X: float64(w), Y: y(float64(w))})
		}
		return c
	}

	locks := plot.Panel{Name: locksPanel}
	for _, n := range lockCounts {
		locks.Curves = append(locks.Curves, law(fmt.Sprintf("Amdahl, 1/%d serial", n), amdahl{perLock, 1 / float64(n)}.at))
	}
	others := plot.Panel{Name: othersPanel, Curves: []plot.Curve{
		law("workers / hold", func(w float64) float64 { return w * perLock }),
		law("1 / hold", func(float64) float64 { return perLock })}}
	return plot.Chart{
		X:      plot.Axis{Name: "workers", Log: true, Start: 1, End: float64(most)},
		Y:      plot.Axis{Name: "visits a second", Log: true, Start: math.Pow10(int(math.Floor(math.Log10(perLock / 2)))), End: float64(most) * perLock},
		Panels: []plot.Panel{locks, others, {Name: fittedPanel}},
	}
}

// panelOf returns the panel in which a way's curve is drawn.
func panelOf(w way) string {
	if slices.Contains(lockNames(), w.name) {
		return locksPanel
	}
	return othersPanel
}

func lockNames() []string {
	out := make([]string, len(lockCounts))
	for i, n := range lockCounts {
		out[i] = nameLocks(n)
	}
	return out
}

func nameLocks(n int) string {
	if n == 1 {
		return "1 lock"
	}
	return fmt.Sprintf("%d locks", n)
}
