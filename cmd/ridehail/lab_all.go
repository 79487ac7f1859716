package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/ridehail/ridehail/lab"
)

type labListCmd struct{}

// Run prints the table of the questions, under the course's headings.
func (labListCmd) Run(p *process) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	heading := ""
	for _, e := range lab.All() {
		if h := string(e.Topic); h != heading {
			heading = h
			fmt.Fprintf(w, "%s\n", h)
		}
		fmt.Fprintf(w, "  %s\tridehail lab %s\t%.0f s\t%s\n", e.Question, e.Name, e.Takes.Seconds(), strings.Join(e.Asks, " "))
	}
	return w.Flush()
}

type labAllCmd struct{}

func (labAllCmd) Run(ctx context.Context, p *process) error {
	return fmt.Errorf("%w: not yet", errUsage)
}
