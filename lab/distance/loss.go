package distance

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Loss returns the experiment loss.
func Loss() finding.Experiment {
	return finding.Experiment{
		Name:      "loss",
		Topic:     finding.LatencyAndLoss,
		Asks:      []string{"R4", "P1"},
		Question:  "At most once, at least once, or effectively once?",
		Teaser:    "once, or at least once",
		Situation: "The answer to a chat message is lost; the phone sends it again. How often is it in the chat?",
		Options: []string{
			"once: TCP is reliable",
			"twice, unless it carries an id that the server remembers",
			"twice, unless its id is stored with it: memory forgets in a crash",
		},
		Knobs: []finding.Knob{
			{Name: "loss", Label: "Lost", Help: "How many requests, answers or servers are lost.", Unit: "%", Default: 20, Low: 5, High: 50, Step: 1},
			{Name: "commands", Label: "Messages", Help: "Messages for each way and each kind of fault.", Default: 50, Low: 10, High: 300, Step: 10},
			{Name: "retries", Label: "Retries", Help: "How often a phone sends a message again that was not answered.", Default: 3, Low: 1, High: 8, Step: 1},
			{Name: "delay", Label: "Delay of the line", Help: "Of each way of the line that loses packets.", Unit: "ms", Default: 20, Low: 0, High: 100, Step: 5},
		},
		Takes: 5 * time.Second,
		Real:  "chat.Room on SQLite, opened again after a crash; WebSockets through a line",
		Made:  "what is lost; ids in memory; new ids for each try",
		Code: []finding.Code{
			{File: "store/sqlite/chat.go", Func: "chatStore.AppendChat", Why: "the id is in the same transaction"},
			{File: "client/command.go", Func: "Session.resendDueCommands", Why: "again, under the same id"},
			{File: "lab/broken/loss.go", Func: "IDsInMemory.Once", Why: "what a crash forgets"},
			{File: "lab/line/spec.go", Func: "RetransmitDelay", Why: "what TCP makes of loss"},
		},
		Next: "More tries do not mend it, an id does: ridehail lab loss --loss 50 --retries 8",

		Frame: func(v finding.Values) plot.Chart { return newLoss(v).emptyChart() },
		Run: func(ctx context.Context, run *finding.Run) (finding.Result, error) {
			l := newLoss(run.Values)
			found, parts, err := l.run(ctx, run)
			if ctx.Err() != nil {
				return finding.Result{}, ctx.Err()
			}
			if err != nil {
				return finding.Result{}, fmt.Errorf("messages and faults: %w", err)
			}
			return l.buildResult(found, parts), nil
		},
	}
}

// loss is the settings of a run.
type loss struct {
	percent           float64
	commands, retries int
	delay             time.Duration
}

func newLoss(v finding.Values) loss {
	return loss{percent: v.Number("loss"), commands: v.Int("commands"), retries: v.Int("retries"), delay: v.Milliseconds("delay")}
}

// way is how a phone and its server deal with loss.
type way int

const (
	neverAgain way = iota // at most once
	newIDs                // at least once
	idInMemory            // once, until a crash
	idInStore             // effectively once; the app's
	ways
)

func (w way) String() string {
	return [...]string{"no retry", "retries, no id", "retries, id in memory", "retries, id in store"}[w]
}

// fault is what may go wrong with a try.
type fault int

const (
	lostRequest fault = iota
	lostAnswer
	crashBetween // the effect is committed and the server dies before it answers
	faults
)

func (f fault) String() string {
	return [...]string{"lost request", "lost answer", "crash between"}[f]
}

// outcome is what became of the messages of one way with one fault.
type outcome struct {
	Way      string `json:"way"`
	Fault    string `json:"fault"`
	Commands int    `json:"commands"`
	Acked    int    `json:"acked"`    // commands whose phone got an answer
	Arrivals int    `json:"arrivals"` // tries that reached the server
	Faults   int    `json:"faults"`
	Effects  int    `json:"effects"` // messages in the chat
	Once     int    `json:"once"`    // commands with one effect
	Missing  int    `json:"missing"` // commands without an effect
	Extra    int    `json:"extra"`   // effects after a command's first one
	// Unkept counts the acked commands without an effect.
	Unkept int `json:"unkept"`
}

// lossFigures is what a run found.
type lossFigures struct {
	effects [ways][faults]outcome
	tcp     []tcpFigures // by rising loss
}

// tcpFigures is how old positions arrive over a line that loses packets.
type tcpFigures struct {
	Loss   float64 `json:"loss_percent"` // of the packets, each way
	Sent   int64   `json:"sent"`
	Lost   int64   `json:"lost"`   // positions that never came
	Resent int64   `json:"resent"` // packets that the line lost
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
}

// tcpLosses are the percentages of lost packets that are tried.
var tcpLosses = []float64{0, 1, 5}

func (l loss) run(ctx context.Context, run *finding.Run) (found lossFigures, parts []finding.Part, err error) {
	g, together := errgroup.WithContext(ctx)
	for w := range ways {
		g.Go(func() error { return l.tryWay(together, run, w, &found.effects[w]) })
	}
	if err := g.Wait(); err != nil {
		return found, nil, err
	}

	var relayAt string
	if found.tcp, relayAt, err = l.loseInTCP(ctx, run); err != nil {
		return found, nil, err
	}

	effects, sent := 0, int64(0)
	for w := range ways {
		effects += found.sumOutcomes(w).Effects
	}
	for _, t := range found.tcp {
		sent += t.Sent
	}
	return found, []finding.Part{
		{Name: "SQLite", Where: fmt.Sprintf("%d files of this run", ways), Count: fmt.Sprintf("%d messages", effects)},
		{Name: "relay behind lines", Where: relayAt, Count: fmt.Sprintf("%d positions", sent)},
	}, nil
}
