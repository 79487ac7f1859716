// Package messages compares ways to send messages: to a receiver that was away
// (patterns), and to ever more nodes (nodes).
package messages

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Patterns returns the experiment patterns.
func Patterns() finding.Experiment {
	return finding.Experiment{
		Name:      "patterns",
		Topic:     finding.QueueOrDirect,
		Asks:      []string{"P5", "C1"},
		Question:  "Which way of sending reaches a receiver that was away?",
		Teaser:    "five ways compared",
		Situation: "100 messages in 2 s, sent in five ways. The receiver is away for the middle 40.",
		Options:   []string{"only the queue brings all", "two ways lose the 40", "all bring all, some late", "one way loses the 40"},
		Knobs: []finding.Knob{
			{Name: "messages", Label: "Messages", Help: "How many are sent each way.", Default: 100, Low: 10, High: 500, Step: 10},
			{Name: "every", Label: "One every", Help: "Between two messages.", Unit: "ms", Default: 20, Low: 5, High: 50, Step: 5},
			{Name: "away", Label: "Receiver away", Help: "For this share of the messages, in the middle.", Unit: "%", Default: 40, Low: 0, High: 80, Step: 10},
			{Name: "poll", Label: "Polls every", Help: "How often polling asks.", Unit: "ms", Default: 200, Low: 20, High: 1000, Step: 20},
			{Name: "as", Label: "Told as", Help: "Whose messages they are.", Choices: []string{"ride", "hospital", "video"}},
		},
		Takes:      2 * time.Second,
		TakesRedis: true,
		Real:       "events (publish/subscribe, relay, queue, worker), chat on SQLite, RPC on a Unix socket",
		Made:       "the messages, and when the receiver goes, by number",
		Code: []finding.Code{
			{File: "events/worker.go", Func: "Worker.runJob", Why: "the effect first, then the ack"},
			{File: "lab/messages/ways.go", Func: "numbered.readAgain", Why: "a gap: read the store"},
		},
		Next:  "ridehail lab patterns --away 0, to see which way is the cheapest when no one leaves",
		Frame: func(v finding.Values) plot.Chart { return newPlan(v).emptyChart() },
		Run:   runPatterns,
	}
}

// plan is one workload: what is sent and when the receiver is away. It follows
// from the knobs alone.
type plan struct {
	messages int
	from, to int // the receiver is away for messages from to to-1
	every    time.Duration
	poll     time.Duration
	as       string
}

func newPlan(v finding.Values) plan {
	p := plan{messages: v.Int("messages"), every: v.Milliseconds("every"), poll: v.Milliseconds("poll"), as: v.Choice("as")}
	away := p.messages * v.Int("away") / 100
	p.from = (p.messages - away) / 2
	p.to = p.from + away
	return p
}

// dueTime returns when a message must be sent, from the start.
func (p plan) dueTime(message int) time.Duration { return time.Duration(message) * p.every }

func (p plan) messagesAway() int { return p.to - p.from }

// emptyChart is the chart before the first message.
func (p plan) emptyChart() plot.Chart {
	end := p.dueTime(p.messages).Seconds()
	panel := plot.Panel{Curves: []plot.Curve{{Name: "sent", Style: plot.Law, Points: []plot.Point{{}, {X: end, Y: float64(p.messages)}}}}}
	if p.messagesAway() > 0 {
		panel.Bands = []plot.Band{{From: p.dueTime(p.from).Seconds(), To: p.dueTime(p.to).Seconds(), Name: "away"}}
	}
	return plot.Chart{X: plot.Axis{Name: "s", End: end}, Y: plot.Axis{Name: "messages received", End: float64(p.messages)},
		Panels: []plot.Panel{panel}}
}

// runPatterns sends the same messages in all five ways at the same time.
func runPatterns(ctx context.Context, run *finding.Run) (finding.Result, error) {
	p := newPlan(run.Values)
	set, err := openWays(ctx, run, p)
	if err == nil {
		defer set.close()
		err = p.sendAll(ctx, set)
	}
	if err != nil {
		return finding.Result{}, fmt.Errorf("patterns: %w", err)
	}

	all := set.collectFigures()
	return finding.Result{
		Seen:    seenPattern(all),
		Table:   patternTable(p, all),
		Chart:   p.buildChart(set),
		Claims:  judgePatterns(p, all),
		Notice:  noticePatterns(p, all),
		Parts:   set.parts,
		Figures: all,
	}, nil
}

// buildChart adds what was received to the frame.
func (p plan) buildChart(set *wayset) plot.Chart {
	c := p.emptyChart()
	for _, w := range set.ways {
		c.Panels[0].Curves = append(c.Panels[0].Curves, plot.Curve{Name: w.name, Points: w.tally.curvePoints()})
	}
	return c
}
