// Package pagetest has made-up experiments, for tests of the lab's page: small,
// quick, and with every kind of chart and knob. They run nothing real.
package pagetest

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Experiments returns one experiment with curves, one with bars on a
// logarithmic axis, and one that runs until its context ends.
func Experiments() []finding.Experiment {
	return []finding.Experiment{Bars(), Curves(), Endless()}
}

// Curves returns an experiment with curves, a band, a limit, a law and several
// knobs. It takes as long as its knob pace says for each of 65 bins.
func Curves() finding.Experiment {
	e := finding.Experiment{
		Name: "curves", Topic: finding.LatencyAndLoss, Asks: []string{"R4", "P1"},
		Question: "Can retries keep a healthy service down?", Teaser: "kept down by retries",
		Situation: "A service that can answer 40 a second is asked 24. It hangs for 2.5 s. And then?",
		Options: []string{"All recover within a second", "Only retrying at once stays down", "Both stay down, a budget recovers",
			"Only no retry recovers"},
		Takes: 3 * time.Second,
		Knobs: []finding.Knob{
			{Name: "rate", Label: "Offered rate", Help: "requests of new people", Unit: "a second", Default: 24, Low: 8, High: 40, Step: 1},
			{Name: "hang", Label: "Hang", Help: "how long the service answers nothing", Unit: "s", Default: 2.5, Low: 0, High: 5, Step: 0.5},
			{Name: "timeout", Label: "Timeout", Help: "after which a client gives up", Unit: "ms", Default: 250, Low: 50, High: 1000, Step: 50, Log: true},
			{Name: "order", Label: "Order", Help: "which request is answered first", Choices: []string{"oldest", "newest"}},
			{Name: "pace", Label: "Pace", Help: "real time for each bin", Unit: "ms", Default: 20, Low: 0, High: 200, Step: 1},
		},
		Real: "sockets, timeouts, the queue", Made: "the riders, the hang",
		Code: []finding.Code{{File: "payments/charger.go", Func: "Charger.Charge", Why: "how a try is made"},
			{File: "events/worker.go", Func: "Worker.Run", Why: "where a job is tried again"}},
		Next: "let the budget count nothing: ridehail lab curves --rate 40",
	}
	e.Frame = curvesFrame
	e.Run = runCurves
	return e
}

// Policies are the names of its curves.
var policies = []string{"no retry", "3 retries at once", "backoff with jitter", "budget 10 %", "budget, drop old"}

func curvesFrame(v finding.Values) plot.Chart {
	rate, hang := v.Number("rate"), v.Number("hang")
	panel := plot.Panel{
		Bands:  []plot.Band{{From: 2, To: 2 + hang, Name: fmt.Sprintf("hangs, %g s", hang)}},
		Limits: []plot.Limit{{At: 40, Name: "can answer 40 a second"}},
		Curves: []plot.Curve{{Name: fmt.Sprintf("law: no more than what is asked, %g a second", rate), Style: plot.Law,
			Points: []plot.Point{{X: 0, Y: rate}, {X: 16, Y: rate}}}},
	}
	for _, name := range policies {
		panel.Curves = append(panel.Curves, plot.Curve{Name: name})
	}
	return plot.Chart{Title: "Good answers per second", Subtitle: "measured, bins of 0.25 s",
		X: plot.Axis{Name: "seconds", End: 16}, Y: plot.Axis{Name: "good answers a second", End: 44}, Panels: []plot.Panel{panel}}
}

// goodAt makes up the good answers of a policy.
func goodAt(policy int, at, rate, hang float64) float64 {
	back := []float64{3.4, math.Inf(1), math.Inf(1), 5, 0.8}[policy] * rate / 24
	switch end := 2 + hang; {
	case at < 2:
		return rate - math.Mod(at*7+float64(policy), 2)
	case at < end+back-0.5:
		return 0
	case at < end+back+1:
		return rate * (at - end - back + 0.5) / 1.5
	default:
		return rate - math.Mod(at*5+float64(policy)*3, 1.5)
	}
}

func runCurves(ctx context.Context, run *finding.Run) (finding.Result, error) {
	chart := curvesFrame(run.Values)
	curves := chart.Panels[0].Curves
	rate, hang := run.Number("rate"), run.Number("hang")
	for bin := range 65 {
		if err := pause(ctx, run.Milliseconds("pace")); err != nil {
			return finding.Result{}, err
		}
		for i, name := range policies {
			p := plot.Point{X: float64(bin) / 4, Y: goodAt(i, float64(bin)/4, rate, hang)}
			curves[i+1].Points = append(curves[i+1].Points, p)
			run.Point(name, p.X, p.Y)
		}
	}
	for i, mark := range []string{"3.4 s", "0", "0", "5.0 s", "0.8 s"} {
		last := &curves[i+1].Points[len(curves[i+1].Points)-1]
		last.Mark = mark
	}

	return finding.Result{Seen: 2, Chart: chart,
		Table: finding.Table{Columns: []string{"policy", "back after", "tries for each"},
			Rows: [][]string{{"no retry", "3.4 s", "1.0"}, {"3 retries at once", "never", "4.0"}, {"backoff with jitter", "never", "4.0"},
				{"budget 10 %", "5.0 s", "1.1"}, {"budget, drop old", "0.8 s", "1.1"}}},
		Claims: []finding.Claim{
			{Text: "never more than what is asked", Law: "good <= asked", Source: "Little 1961", Exact: true, Want: fmt.Sprintf("<= %g", rate), Got: "24", Holds: rate >= 24},
			{Text: "tries above capacity: stays at 0", Law: "tries > capacity", Source: "Bronson et al., Metastable Failures, HotOS 2021", Want: "> 40", Got: "96", Holds: true},
			{Text: "tries below capacity: recovers", Law: "tries < capacity", Source: "Bronson et al., Metastable Failures, HotOS 2021", Want: "< 40", Got: "26.4", Holds: true},
		},
		Notice: []string{"Backoff moved the tries. It sent as many: 4.0 for each rider.", "At 0 good, it still gave 40 answers a second. All came too late.",
			"Dropping what no one waits for saved 4.2 of 5.0 s."},
		Parts: []finding.Part{{Name: "service", Where: "127.0.0.1:40213", Count: "412 packets"}},
	}, nil
}

// Bars returns an experiment with bars on a logarithmic axis.
func Bars() finding.Experiment {
	names := []string{"atomic", "mutex", "channel", "Unix socket", "TCP", "HTTP", "Redis", "commit"}
	heights := []float64{2e-2, 6e-2, 0.265, 7.8, 14, 51, 25, 603}
	frame := func(finding.Values) plot.Chart {
		return plot.Chart{Title: "Microseconds for one answer", X: plot.Axis{Name: "mechanism"},
			Y: plot.Axis{Name: "µs", Log: true, Start: 0.01, End: 1000}, Panels: []plot.Panel{{}}}
	}
	return finding.Experiment{Name: "bars", Topic: finding.MessagesOrMemory, Asks: []string{"R1", "R2", "P2"},
		Question: "What does one answer cost?", Teaser: "what one answer costs", Situation: "One position is read by eight mechanisms. How far apart are they?",
		Options: []string{"Within ten times", "Within a thousand times", "More than ten thousand times"}, Takes: time.Second,
		Knobs: []finding.Knob{{Name: "bytes", Label: "Size", Help: "bytes of one answer", Unit: "bytes", Default: 24, Low: 24, High: 65536, Step: 8, Log: true}},
		Frame: frame,
		Run: func(ctx context.Context, run *finding.Run) (finding.Result, error) {
			chart := frame(run.Values)
			for i, name := range names {
				if err := pause(ctx, 20*time.Millisecond); err != nil {
					return finding.Result{}, err
				}
				chart.Panels[0].Bars = append(chart.Panels[0].Bars, plot.Bar{Name: name, Height: heights[i]})
				run.Point(name, float64(i), heights[i])
			}
			return finding.Result{Seen: 2, Chart: chart, Table: finding.Table{Columns: []string{"mechanism", "µs"}, Rows: [][]string{{"atomic", "0.02"}, {"commit", "603"}}},
				Claims: []finding.Claim{{Text: "memory below the kernel", Law: "channel < socket / 9", Source: "Lamport 1978", Want: "< 0.11", Got: "0.034", Holds: true}},
				Notice: []string{"A commit costs 43 TCP answers.", "A channel costs 13 atomics.", "HTTP costs 3.6 times its socket."}}, nil
		}}
}

// Endless returns an experiment that runs until its context ends.
func Endless() finding.Experiment {
	return finding.Experiment{Name: "endless", Topic: finding.RideHailing, Asks: []string{"C2"}, Question: "Failed, or only slow?", Teaser: "failed, or only slow",
		Situation: "A service answers nothing. Is it dead?", Options: []string{"Yes", "No"}, Takes: 9 * time.Second,
		Frame: func(finding.Values) plot.Chart {
			return plot.Chart{X: plot.Axis{Name: "s", End: 10}, Y: plot.Axis{Name: "answers", End: 10}, Panels: []plot.Panel{{}}}
		},
		Run: func(ctx context.Context, run *finding.Run) (finding.Result, error) {
			for i := 0; ; i++ {
				run.Point("answers", float64(i)/50, 1)
				if err := pause(ctx, 20*time.Millisecond); err != nil {
					return finding.Result{}, err
				}
			}
		}}
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
