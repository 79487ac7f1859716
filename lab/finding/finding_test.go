package finding

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/plot"
)

// queueExperiment is an experiment that only counts, with every kind of knob.
func queueExperiment() Experiment {
	return Experiment{
		Name:      "queue",
		Topic:     QueueOrDirect,
		Asks:      []string{"P5", "R3"},
		Question:  "A queue or a direct message?",
		Situation: "The receiver is away for a second.",
		Options:   []string{"Both lose messages.", "Only direct messages are lost"},
		Knobs: []Knob{
			{Name: "away", Help: "how long.", Unit: "s", Default: 1, Low: .5, High: 10, Step: .5},
			{Name: "jobs", Help: "how many.", Default: 100, Low: 1, High: 1000, Step: 1},
			{Name: "as", Help: "the words.", Choices: []string{"city", "hospital", "shop"}},
		},
		Real: "a queue", Made: "the receiver.",
		Code: []Code{{"events/queue.go", "Queue.Add", "the queue"}, {"events/worker.go", "Worker.Run", "the receiver"}},
		Next: "turn --away to 10",
		Run: func(ctx context.Context, run *Run) (Result, error) {
			jobs := run.Int("jobs")
			run.Point("direct", 1, float64(jobs))
			chart := plot.Chart{X: plot.Axis{Name: "s"}, Y: plot.Axis{Name: "lost"}, Panels: []plot.Panel{{Curves: []plot.Curve{
				{Name: "law", Style: plot.Law, Points: []plot.Point{{X: 0}, {X: 1}}},
				{Name: "direct", Points: []plot.Point{{X: 1, Y: float64(jobs)}, {X: 0}}}}}}}
			return Result{
				Seen:  1,
				Table: Table{Columns: []string{"way", "lost"}, Rows: [][]string{{"direct", fmt.Sprint(jobs)}, {"queue", "0"}}},
				Chart: chart,
				Claims: []Claim{
					{Text: "a queue loses nothing", Law: "durable", Source: "Gray 1992", Exact: true, Want: "0", Got: "0", Holds: true},
					{Text: "direct messages are lost", Law: "at most once", Source: "Saltzer 1984", Want: "> 0", Got: fmt.Sprint(jobs), Holds: jobs > 1}},
				Notice: []string{"One.", "Two.", "Three."},
				Parts:  []Part{{Name: "queue"}},
			}, ctx.Err()
		},
	}
}

// performQueue runs the experiment with knobs.
func performQueue(t *testing.T, guess int, knobs map[string]string) Finding {
	t.Helper()
	e := queueExperiment()
	values, err := e.Check(knobs)
	if err != nil {
		t.Fatal(err)
	}
	f, err := e.Perform(t.Context(), &Run{Values: values, Seed: 7}, guess)
	if err != nil {
		t.Fatal(err)
	}
	f.Seconds = .1
	return f
}

func TestAFindingHasAllThatRepeatsIt(t *testing.T) {
	f := performQueue(t, 0, map[string]string{"away": "1500ms", "as": "hospital"})
	if want := "ridehail lab queue --away 1.5 --as hospital --seed 7"; f.Command != want {
		t.Errorf("command %q, want %q", f.Command, want)
	}
	if f.Guess != "A" || f.Seen != "B" || f.Asks["P5"] != CourseQuestions["P5"] || f.Settings[0].Value != "1.5 s" || f.Settings[2].Value != "hospital" {
		t.Errorf("finding %+v", f)
	}
	if !f.HasHeld() || len(f.Failed()) != 0 {
		t.Error("a claim does not hold")
	}
	if f := performQueue(t, NoGuess, map[string]string{"jobs": "1"}); f.HasHeld() || len(f.Failed()) != 1 || f.Guess != "" {
		t.Errorf("one job: %+v", f)
	}
}

func TestACommandWithRealServersTellsNoPassword(t *testing.T) {
	e := queueExperiment()
	values, err := e.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	got := e.formatCommand(&Run{Values: values, Redis: "redis://:secret@there:6379/0", Database: "postgres://me:secret@there/city"})
	if want := "ridehail lab queue --redis redis://:xxxxx@there:6379/0 --database postgres://me:xxxxx@there/city --seed 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPerformEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := queueExperiment()
	values, err := e.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Perform(ctx, &Run{Values: values}, NoGuess); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAPointIsTold(t *testing.T) {
	var told []string
	e := queueExperiment()
	values, err := e.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	run := &Run{Values: values, OnPoint: func(curve string, p plot.Point) { told = append(told, fmt.Sprint(curve, p.X, p.Y)) }}
	if _, err := e.Perform(t.Context(), run, NoGuess); err != nil || len(told) != 1 || told[0] != "direct1 100" {
		t.Errorf("told %q, %v", told, err)
	}
}

func TestAServerThatIsNotThereIsToldBeforeTheRun(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	there := listener.Addr().String()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nothing := gone.Addr().String()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()

	for name, c := range map[string]struct {
		redis, database string
		takes           bool
		want            error
	}{
		"none":                      {},
		"both are there":            {redis: "redis://" + there + "/0", database: "postgres://me@" + there + "/x", takes: true},
		"no Redis":                  {redis: "redis://" + nothing, takes: true, want: ErrUnreachable},
		"no database":               {database: "postgresql://" + nothing, takes: true, want: ErrUnreachable},
		"another scheme":            {redis: "http://" + there, takes: true, want: ErrUsage},
		"no URL":                    {redis: "::", takes: true, want: ErrUsage},
		"no host":                   {database: "postgres:///x", takes: true, want: ErrUsage},
		"the experiment takes none": {redis: "redis://" + there, want: ErrUsage},
	} {
		e := queueExperiment()
		e.TakesRedis, e.TakesDatabase = c.takes, c.takes
		values, err := e.Check(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Perform(t.Context(), &Run{Values: values, Redis: c.redis, Database: c.database}, NoGuess)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestAFindingIsJSON(t *testing.T) {
	f := performQueue(t, NoGuess, nil)
	f.Figures = map[string]int{"lost": 3}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"experiment", "asks", "settings", "command", "parts", "table", "chart", "claims", "notice", "figures", "code", "next"} {
		if _, ok := back[key]; !ok {
			t.Errorf("no %s in %s", key, text)
		}
	}
}

func TestProblemsOfAFindingAreNamed(t *testing.T) {
	f := performQueue(t, NoGuess, nil)
	if got := f.Problems(); len(got) > 0 {
		t.Fatalf("problems of a good finding: %q", got)
	}

	long := strings.Repeat("more words ", 40)
	for want, spoil := range map[string]func(*Finding){
		"lines, over 25":       func(f *Finding) { f.Notice = []string{long, long, long + long + long} },
		"its text has up to":   func(f *Finding) { f.Options[0] = long + long + long }, // which only a guess shows
		"columns, over 100":    func(f *Finding) { f.Table.Rows[0][0] = strings.Repeat("x", 100) },
		"0 rows":               func(f *Finding) { f.Table.Rows = nil },
		"9 rows":               func(f *Finding) { f.Table.Rows = make([][]string, 9) },
		"under 2 columns":      func(f *Finding) { f.Table.Rows[1] = []string{"queue"} },
		"1 claims":             func(f *Finding) { f.Claims = f.Claims[:1] },
		"lacks a text":         func(f *Finding) { f.Claims[1].Source = "" },
		"2 notices":            func(f *Finding) { f.Notice = f.Notice[:2] },
		"no part that ran":     func(f *Finding) { f.Parts = nil },
		"saw C":                func(f *Finding) { f.Seen = "C" },
		"cannot be written as": func(f *Finding) { f.Chart.Panels[0].Curves[0].Points[0].Y = math.NaN() },
	} {
		f := performQueue(t, NoGuess, nil)
		spoil(&f)
		if got := strings.Join(f.Problems(), "; "); !strings.Contains(got, want) {
			t.Errorf("problems %q, want one with %q", got, want)
		}
	}
}

func TestAPictureNamesTheQuestionAndTheCommand(t *testing.T) {
	f := performQueue(t, NoGuess, nil)
	for _, want := range []string{f.Question, f.Command, ">direct<"} {
		if !strings.Contains(f.SVG(), want) {
			t.Errorf("no %s in the picture", want)
		}
	}
}
