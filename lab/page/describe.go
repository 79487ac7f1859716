package page

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"os"
	"strings"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/wire"
)

// list is everything the page needs before a run.
type list struct {
	MayRun      bool             `json:"may_run"`
	WhyNot      string           `json:"why_not,omitempty"`
	Process     int              `json:"process"`
	Experiments []listed         `json:"experiments"`
	Planted     []plantedCommand `json:"planted"`
}

// listed is an experiment as the page reads it.
type listed struct {
	Name      string         `json:"name"`
	Topic     finding.Topic  `json:"topic"`
	Asks      []ask          `json:"asks"`
	Question  string         `json:"question"`
	Teaser    string         `json:"teaser"`
	Situation string         `json:"situation"`
	Options   []string       `json:"options"`
	Knobs     []knob         `json:"knobs"`
	Seconds   float64        `json:"seconds"`
	Real      string         `json:"real"`
	Made      string         `json:"made"`
	Code      []finding.Code `json:"code"`
	Next      string         `json:"next"`
}

// ask is one of the course's questions, word for word.
type ask struct {
	Number   string `json:"number"`
	Question string `json:"question"`
}

type knob struct {
	Name    string   `json:"name"`
	Label   string   `json:"label"`
	Help    string   `json:"help"`
	Unit    string   `json:"unit,omitempty"`
	Default float64  `json:"default"`
	Low     float64  `json:"low"`
	High    float64  `json:"high"`
	Step    float64  `json:"step"`
	Log     bool     `json:"log,omitempty"`
	Choices []string `json:"choices,omitempty"`
}

// plantedCommand shows a planted bug. Only a binary with the bugs has the
// command, so the page shows it as text.
type plantedCommand struct {
	Command string `json:"command"`
	Breaks  string `json:"breaks"`
}

var planted = []plantedCommand{
	{"make lab-broken", "builds bin/ridehail-broken, which has the bugs; no other binary does"},
	{"bin/ridehail-broken lab break ack-before-commit", "says yes before the database has it"},
	{"bin/ridehail-broken lab break no-unique-index", "lets two trips take one driver"},
	{"bin/ridehail-broken lab break xack-before-effect", "takes a job off the queue before it is done"},
	{"bin/ridehail-broken lab break new-reference-per-try", "charges again when it tries again"},
	{"bin/ridehail-broken lab break outbox-by-id", "reads the outbox by rising id and passes over some"},
}

const tokensOff = "This node gives no development tokens, so the lab runs nothing here. On your own machine, ridehail demo does."

func (p *Page) getExperiments(w http.ResponseWriter, _ *http.Request) {
	out := list{MayRun: p.cfg.MayRun, Process: os.Getpid(), Experiments: []listed{}, Planted: planted}
	if !p.cfg.MayRun {
		out.WhyNot = tokensOff
	}
	for _, e := range p.cfg.Experiments {
		out.Experiments = append(out.Experiments, describeExperiment(e))
	}
	writeJSON(w, out)
}

func describeExperiment(e finding.Experiment) listed {
	out := listed{Name: e.Name, Topic: e.Topic, Asks: []ask{}, Question: e.Question, Teaser: e.Teaser, Situation: e.Situation,
		Options: e.Options, Knobs: []knob{}, Seconds: e.Takes.Seconds(), Real: e.Real, Made: e.Made, Code: e.Code, Next: e.Next}
	for _, number := range e.Asks {
		out.Asks = append(out.Asks, ask{number, finding.CourseQuestions[number]})
	}
	for _, k := range e.Knobs {
		out.Knobs = append(out.Knobs, knob(k))
	}
	return out
}

// empty is an experiment's plot before a run, with the settings as they are.
type empty struct {
	Chart       plot.Chart           `json:"chart"`
	Knobs       map[string]string    `json:"knobs"`
	Corrections []finding.Correction `json:"corrections"`
}

// getFrame returns the empty plot for the knobs in the query.
func (p *Page) getFrame(w http.ResponseWriter, r *http.Request) {
	e, ok := p.findExperiment(w, r.PathValue("name"))
	if !ok {
		return
	}

	given := map[string]string{}
	for name, values := range r.URL.Query() {
		given[name] = values[0]
	}
	values, corrections, err := e.Clamp(given)
	if err != nil {
		problem.Write(w, wire.CodeBadField, http.StatusBadRequest, err.Error())
		return
	}
	writeJSON(w, empty{frameOf(e, values), e.Texts(values), corrections})
}

func frameOf(e finding.Experiment, v finding.Values) plot.Chart {
	if e.Frame == nil {
		return plot.Chart{}
	}
	return e.Frame(v)
}

func writeJSON(w http.ResponseWriter, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		problem.Write(w, wire.CodeInternal, http.StatusInternalServerError, "The lab cannot describe its experiments: "+err.Error())
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text) // an error means that the client is gone
}

// listWithoutScripts is the list as HTML, for a browser that runs no scripts.
func listWithoutScripts(experiments []finding.Experiment) string {
	var b strings.Builder
	b.WriteString("<dl>")
	for _, e := range experiments {
		fmt.Fprintf(&b, "<dt>%s</dt><dd>%s <code>ridehail lab %s</code></dd>",
			html.EscapeString(strings.Join(e.Asks, " ")), html.EscapeString(e.Question), html.EscapeString(e.Name))
	}
	b.WriteString("</dl>")
	return b.String()
}
