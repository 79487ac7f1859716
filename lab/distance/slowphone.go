package distance

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// ackWindow is the app's: how many positions may be sent to a phone and not
// acked (gateway/latest_position.go).
const ackWindow = 2

// SlowPhone returns the experiment slowphone.
func SlowPhone() finding.Experiment {
	return finding.Experiment{
		Name:      "slowphone",
		Topic:     finding.LatencyAndLoss,
		Asks:      []string{"R4"},
		Question:  "A queue or the newest position for a phone that cannot keep up?",
		Teaser:    "a phone that lags",
		Situation: "A car sends 10 positions a second to a phone that can show 4. How old is what it shows?",
		Options: []string{
			"equally old with both: the phone is the bottleneck",
			"a queue: older and older; newest wins: the same age for good",
			"newest wins: older, since it throws positions away",
		},
		Knobs: []finding.Knob{
			{Name: "rate", Label: "Positions a second", Help: "How many positions a second the car sends.", Unit: "a second", Default: 10, Low: 2, High: 30, Step: 1},
			{Name: "shows", Label: "The phone shows", Help: "How many positions a second the phone shows and acks.", Unit: "a second", Default: 4, Low: 1, High: 30, Step: 1},
			{Name: "for", Label: "Time", Help: "How long the car drives.", Unit: "s", Default: 4, Low: 2, High: 20, Step: 1},
			{Name: "chats", Label: "Chat messages", Help: "How many messages the driver writes meanwhile.", Default: 20, Low: 0, High: 100, Step: 1},
		},
		Takes: 5 * time.Second,
		Real:  "a node, SQLite, embedded Redis, WebSockets; the queue is a relay's",
		Made:  "the phone's slowness; chat in which the newest wins",
		Code: []finding.Code{
			{File: "gateway/latest_position.go", Func: "latestPosition.isReady", Why: "newest wins, window of two"},
			{File: "lab/latency/relay/relay.go", Func: "rider.writeMessage", Why: "a queue without an end"},
			{File: "gateway/outbound_queue.go", Func: "outboundQueue.push", Why: "events queue, and never vanish"},
			{File: "lab/broken/slowphone.go", Func: "NewestWins.Put", Why: "the mistake for events"},
		},
		Next: "Let the phone keep up, and the two are equal: ridehail lab slowphone --shows 20",

		Frame: func(v finding.Values) plot.Chart { return newSlowPhone(v).emptyChart() },
		Run: func(ctx context.Context, run *finding.Run) (finding.Result, error) {
			s := newSlowPhone(run.Values)
			found, parts, err := s.run(ctx, run)
			if ctx.Err() != nil {
				return finding.Result{}, ctx.Err()
			}
			if err != nil {
				return finding.Result{}, fmt.Errorf("a ride with a slow phone: %w", err)
			}
			return s.buildResult(found, parts), nil
		},
	}
}

// slowPhone is the settings of a run.
type slowPhone struct {
	rate, shows float64 // a second
	lasts       time.Duration
	chats       int
}

func newSlowPhone(v finding.Values) slowPhone {
	return slowPhone{rate: v.Number("rate"), shows: v.Number("shows"), lasts: v.Seconds("for"), chats: v.Int("chats")}
}

// ageGrowth is how many seconds older a queue makes what is shown, each second:
// of rate positions that come, shows leave, and the rest waits.
func (s slowPhone) ageGrowth() float64 { return max(0, 1-s.shows/s.rate) }

// ageBound is how old, in seconds, a position may be when the phone has shown
// it: it waited for those of the window, was shown itself, and had no older one
// behind it.
func (s slowPhone) ageBound() float64 { return (ackWindow + 1) / s.shows }

const (
	curveQueue  = "queue"
	curveNewest = "newest wins"
	curveLaw    = "law: the queue's age"
)

func (s slowPhone) emptyChart() plot.Chart {
	end := s.lasts.Seconds()
	return plot.Chart{
		Title: "How old is what a slow phone shows?",
		X:     plot.Axis{Name: "seconds since the car started", End: end},
		Y:     plot.Axis{Name: "age of the position that is shown, in seconds", End: max(1.2*s.ageGrowth()*end, 1.2*s.ageBound())},
		Panels: []plot.Panel{{
			Curves: []plot.Curve{{Name: curveLaw, Style: plot.Law, Points: []plot.Point{{X: 0, Y: 0}, {X: end, Y: s.ageGrowth() * end}}},
				{Name: curveQueue}, {Name: curveNewest}},
			Limits: []plot.Limit{{At: s.ageBound(), Name: "(window + 1) / shown a second"}},
		}},
	}
}

// shown is one position that a phone has shown.
type shown struct {
	at, age float64 // seconds: since the car started, and of the position
}

// positions is what one way made of the positions.
type positions struct {
	Sent        int64 `json:"sent"`
	Overwritten int64 `json:"overwritten"` // on purpose
	shown       []shown
}

// numbered is what became of messages with numbers.
type numbered struct {
	Sent  int `json:"sent"`
	Lost  int `json:"lost"`
	Twice int `json:"twice"`
}

// slowPhoneFigures is what a run found.
type slowPhoneFigures struct {
	queue, newest positions
	events, chat  numbered // through the app's session
	brokenChat    numbered // through a slot in which the newest wins
}
