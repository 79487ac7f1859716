package finding

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/ridehail/ridehail/internal/plot"
)

// OldFinding is what an experiment found. Figures has a type of the experiment's
// own, Says answers the question in one sentence, the first row of Table names
// the columns, and Chart has no title.
type OldFinding struct {
	Experiment string         `json:"experiment"`
	Question   string         `json:"question"`
	Model      []OldParameter `json:"model"`
	Figures    any            `json:"figures"`
	Says       string         `json:"says"`
	Table      [][]string     `json:"-"`
	Chart      plot.Chart     `json:"-"`
}

// OldParameter is an assumption of the model and its source.
type OldParameter struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Text formats the finding for a terminal.
func (f OldFinding) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nThe model:\n", f.Question)
	model := make([][]string, len(f.Model))
	for i, p := range f.Model {
		model[i] = []string{"  " + p.Name, p.Value, p.Source}
	}
	writeColumns(&b, model)
	b.WriteByte('\n')
	writeColumns(&b, f.Table)
	fmt.Fprintf(&b, "\n%s\n", f.Says)
	return b.String()
}

// SVG draws the finding.
func (f OldFinding) SVG() string {
	c := f.Chart
	c.Title = f.Question
	return c.SVG()
}

func writeColumns(b *strings.Builder, rows [][]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // into memory
}
