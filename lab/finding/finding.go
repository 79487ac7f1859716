package finding

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
)

// Run is what a running experiment is given.
type Run struct {
	Values
	Seed            uint64
	Redis, Database string // URLs of real servers; empty: embedded ones
	Log             *slog.Logger

	// OnPoint, if set, is called for each point as it is measured, by curve (or,
	// for bars, with X as the bar's place from 0). It may be called from any
	// goroutine and must not block.
	OnPoint func(curve string, p plot.Point)
}

// Point tells that a point of a curve was measured.
func (r *Run) Point(curve string, x, y float64) {
	if r.OnPoint != nil {
		r.OnPoint(curve, plot.Point{X: x, Y: y})
	}
}

// Result is what one run found.
type Result struct {
	// Seen is the option that came true: 0 for A. It is -1 when none did.
	Seen   int
	Table  Table // at most eight rows
	Detail Table // a longer one, which --all and JSON show; empty: none
	Chart  plot.Chart
	Claims []Claim  // two to four
	Notice []string // three sentences, worded by the figures
	Parts  []Part   // what ran
	// Figures hold everything else that was measured, for JSON.
	Figures any
}

// Table is what people read. The first column names the row.
type Table struct {
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Claim is something that must be so, with the law behind it.
type Claim struct {
	Text   string `json:"text"`   // such as "16 locks do at least twice the work of one"
	Law    string `json:"law"`    // such as "throughput <= locks / hold"
	Source string `json:"source"` // such as "Amdahl 1967"
	// Exact claims are about counts, which a seed repeats or which no load of
	// the machine can change. Others are about measured times.
	Exact bool   `json:"exact"`
	Want  string `json:"want"` // such as ">= 2x"
	Got   string `json:"got"`  // such as "3.5x"
	Holds bool   `json:"holds"`
}

// Part is a real part of a run, so that a person can believe it.
type Part struct {
	Name  string `json:"name"`            // such as "embedded Redis", "node"
	Where string `json:"where,omitempty"` // such as "127.0.0.1:40213", "process 1234"
	Count string `json:"count,omitempty"` // such as "412 packets"
}

// Finding is one run with all that a person needs to believe and to repeat it.
type Finding struct {
	Experiment string            `json:"experiment"`
	Topic      Topic             `json:"topic"`
	Asks       map[string]string `json:"asks"` // number -> question, word for word
	Question   string            `json:"question"`
	Situation  string            `json:"situation"`
	Options    []string          `json:"options"`
	Guess      string            `json:"guess,omitempty"` // a letter; empty: none was made
	Seen       string            `json:"seen,omitempty"`  // a letter; empty: no option came true

	Settings []Setting `json:"settings"`
	Seed     uint64    `json:"seed"`
	Command  string    `json:"command"` // repeats the run
	Real     string    `json:"real"`
	Made     string    `json:"made"`
	Process  int       `json:"process"`
	Parts    []Part    `json:"parts"`
	Seconds  float64   `json:"seconds"`

	Table   Table      `json:"table"`
	Detail  *Table     `json:"detail,omitempty"`
	Chart   plot.Chart `json:"chart"`
	Claims  []Claim    `json:"claims"`
	Notice  []string   `json:"notice"`
	Figures any        `json:"figures,omitempty"`
	Code    []Code     `json:"code"`
	Next    string     `json:"next"`
}

// Setting is the value of one knob in a run.
type Setting struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Value string `json:"value"` // with its unit
}

// NoGuess stands for the guess of a person who made none.
const NoGuess = -1

// Perform runs the experiment once. Guess is the number of an option, 0 for A,
// or NoGuess. Errors wrap ErrUsage or ErrUnreachable where these apply; ctx's
// error is returned when it ends first.
func (e Experiment) Perform(ctx context.Context, run *Run, guess int) (Finding, error) {
	if err := e.checkServers(ctx, run); err != nil {
		return Finding{}, err
	}

	began := time.Now()
	found, err := e.Run(ctx, run)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Finding{}, err
	}

	f := Finding{Experiment: e.Name, Topic: e.Topic, Asks: map[string]string{}, Question: e.Question, Situation: e.Situation,
		Options: e.Options, Guess: Letter(guess), Seen: Letter(found.Seen), Settings: e.listSettings(run.Values), Seed: run.Seed,
		Command: e.formatCommand(run), Real: e.Real, Made: e.Made, Process: os.Getpid(), Parts: found.Parts,
		Seconds: math.Round(time.Since(began).Seconds()*10) / 10, Table: found.Table, Chart: found.Chart,
		Claims: found.Claims, Notice: found.Notice, Figures: found.Figures, Code: e.Code, Next: e.Next}
	for _, number := range e.Asks {
		f.Asks[number] = CourseQuestions[number]
	}
	if len(found.Detail.Rows) > 0 {
		f.Detail = &found.Detail
	}
	return f, nil
}

// Letter returns the letter of an option: "A" for 0, and "" for a negative
// number.
func Letter(option int) string {
	if option < 0 {
		return ""
	}
	return string(rune('A' + option))
}

func (e Experiment) listSettings(v Values) []Setting {
	out := make([]Setting, len(e.Knobs))
	for i, k := range e.Knobs {
		out[i] = Setting{Name: k.Name, Label: k.Label, Value: v.formatValue(k)}
		if len(k.Choices) == 0 {
			out[i].Value = k.Format(v.numbers[k.Name])
		}
	}
	return out
}

// formatCommand returns the command that repeats a run, with the knobs that are
// not at their defaults and with real servers, but without passwords.
func (e Experiment) formatCommand(run *Run) string {
	out := "ridehail lab " + e.Name
	for _, k := range e.Knobs {
		if text := run.formatValue(k); text != k.DefaultText() {
			out += " --" + k.Name + " " + text
		}
	}
	if run.Redis != "" {
		out += " --redis " + redactPassword(run.Redis)
	}
	if run.Database != "" {
		out += " --database " + redactPassword(run.Database)
	}
	return out + fmt.Sprintf(" --seed %d", run.Seed)
}

// HasHeld reports whether all claims held.
func (f Finding) HasHeld() bool { return len(f.Failed()) == 0 }

// Failed returns the claims that did not hold.
func (f Finding) Failed() (out []Claim) {
	for _, c := range f.Claims {
		if !c.Holds {
			out = append(out, c)
		}
	}
	return out
}
