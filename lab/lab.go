// Package lab holds experiments: each asks one question about a distributed
// system, in virtual time, and answers it with figures. An experiment is one
// function that returns a Finding; the same seed gives the same Finding, to the
// byte. The storm is the exception: real processes in real time, whose figures
// are the machine's.
package lab

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/ridehail/ridehail/internal/plot"
)

// Finding is what an experiment found.
type Finding struct {
	Experiment string      `json:"experiment"`
	Question   string      `json:"question"`
	Model      []Parameter `json:"model"`
	Figures    any         `json:"figures"` // the experiment's own
	// the answer in one sentence, worded by the figures
	Says string `json:"says"`

	// the figures for people; the first row names the columns
	Table [][]string `json:"-"`
	Chart plot.Chart `json:"-"` // without a title
}

// Parameter is something the model takes for granted, and where it comes from.
type Parameter struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Text is the finding for people.
func (f Finding) Text() string {
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

// SVG is the finding as a picture.
func (f Finding) SVG() string {
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
