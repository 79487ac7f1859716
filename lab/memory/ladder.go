// Package memory holds the lab's experiments with shared memory: what one
// answer costs through memory, kernel and disk, and when locks stop scaling.
package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Ladder returns the experiment ladder.
func Ladder() finding.Experiment {
	return finding.Experiment{
		Name:      "ladder",
		Topic:     finding.MessagesOrMemory,
		Asks:      []string{"R1", "R2", "P2"},
		Question:  "What does one answer cost?",
		Teaser:    "what one answer costs",
		Situation: "Read one driver's position under a lock, or ask for it over a socket on the same machine.",
		Options:   []string{"the socket costs about 5 times as much", "about 50 times", "about 500 times", "about 5,000 times"},
		Knobs: []finding.Knob{
			{Name: "rounds", Label: "Rounds", Help: "How often each rung is timed; the least counts.",
				Default: 120, Low: 10, High: 1000, Step: 1, Log: true},
			{Name: "bytes", Label: "Bytes of the large answer", Help: "Size of the answer in the third column.",
				Default: 64 << 10, Low: 24, High: 1 << 20, Step: 1, Log: true},
			{Name: "away", Label: "Distance, there and back", Help: "Round trip of the line in the last column.", Unit: "ms",
				Default: 1, Low: 1, High: 50, Step: 1, Log: true},
		},
		Takes:         5 * time.Second,
		TakesRedis:    true,
		TakesDatabase: true,
		Real:          "sharedstate, a node, routing RPC, Redis, SQLite, sockets",
		Made:          "bare rungs, the distance",
		Code: []finding.Code{
			{File: "sharedstate/drivers.go", Func: "Drivers.Get", Why: "a copy under a lock"},
			{File: "lab/memory/rungs.go", Func: "ladderRig.memoryRungs", Why: "memory"},
			{File: "lab/memory/socket_rungs.go", Func: "echo", Why: "the kernel"},
		},
		Next:  "--away 10 makes all messages one. Then: ridehail lab rtt",
		Frame: ladderFrame,
		Run:   runLadder,
	}
}

// small is the size of one position: longitude, latitude and time.
const small = 24

// timing is what was found about one rung.
type timing struct {
	rung
	sizes []int           // in bytes; one of 0 if the answer's size is the app's own
	cost  []time.Duration // least cost of one answer, by size
	away  time.Duration   // the same over the line; 0: not tried
}

func runLadder(ctx context.Context, run *finding.Run) (result finding.Result, err error) {
	rig := &ladderRig{ctx: ctx, run: run}
	defer func() { err = errors.Join(err, rig.close()) }()
	if err := rig.openRig(); err != nil {
		return result, fmt.Errorf("set up the ladder: %w", err)
	}

	timings, err := climbRungs(ctx, run, rig.rungs)
	if err != nil {
		return result, err
	}
	return ladderResult(run.Values, timings, rig.listParts()), nil
}

// triesAway is about how often each rung is tried over the line, where an
// answer takes so long that fewer rounds must do.
const triesAway = 40

// climbRungs times all rungs, round by round, so that a slow moment of the
// machine meets all of them. It keeps the least of each: what else ran can only
// add.
func climbRungs(ctx context.Context, run *finding.Run, rungs []rung) ([]timing, error) {
	out := make([]timing, len(rungs))
	for i, r := range rungs {
		out[i] = timing{rung: r, sizes: r.sizes, cost: make([]time.Duration, len(r.sizes))}
	}

	rounds := run.Int("rounds")
	for round := range rounds {
		for i := range out {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := out[i].measureRound(round, max(1, rounds/triesAway)); err != nil {
				return nil, fmt.Errorf("%s: %w", out[i].name, err)
			}
			if round%10 == 0 || round == rounds-1 { // often enough for an eye
				run.Point(costBars, float64(i), inMicroseconds(out[i].cost[0]))
			}
		}
	}
	return out, nil
}

// measureRound times one batch of each size, and every so many rounds one
// answer over the line.
func (t *timing) measureRound(round, everyAway int) error {
	for s, size := range t.sizes {
		cost, err := timeBatch(batchFor(t.batch, size), func() error { return t.read(size) })
		if err != nil {
			return err
		}
		if t.cost[s] == 0 || cost < t.cost[s] {
			t.cost[s] = cost
		}
	}

	if t.readAway == nil || round%everyAway != 0 {
		return nil
	}
	cost, err := timeBatch(1, t.readAway)
	if t.away == 0 || cost < t.away {
		t.away = cost
	}
	return err
}

// batchFor makes batches of large answers shorter, so that they end in time.
func batchFor(batch, size int) int {
	const page = 4096
	if size <= page {
		return batch
	}
	return max(4, batch*page/size)
}

// timeBatch returns what one of n reads takes, on average. The first read is
// not counted: it wakes who answers.
func timeBatch(n int, read func() error) (time.Duration, error) {
	if err := read(); err != nil {
		return 0, err
	}

	began := time.Now()
	for range n {
		if err := read(); err != nil {
			return 0, err
		}
	}
	// At least 1 ns, which means that the compiler kept the read.
	return max(1, time.Since(began)/time.Duration(n)), nil
}

// costBars is the name of the bars' panel, and of their points.
const costBars = "one answer, here"

func ladderFrame(v finding.Values) plot.Chart {
	var bars []plot.Bar
	for _, usual := range usualRungs {
		bars = append(bars, plot.Bar{Name: usual.name, Group: string(usual.band)})
	}
	return ladderChart(v, bars)
}

// ladderChart returns the bars, with two of Dean's numbers as limits. The bars of
// a band are a group, in one colour.
func ladderChart(v finding.Values, bars []plot.Bar) plot.Chart {
	return plot.Chart{
		X: plot.Axis{Name: "the way of the answer"},
		Y: plot.Axis{Name: "µs for one answer", Log: true, Start: 0.01, End: 10_000},
		Panels: []plot.Panel{{Name: costBars, Bars: bars, Limits: []plot.Limit{
			{At: 0.1, Name: "main memory (Dean 2009)"}, {At: 500, Name: "round trip in a data centre (Dean 2009)"}}}},
	}
}

func inMicroseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
