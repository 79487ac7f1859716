package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/ridehail/ridehail/lab"
	"github.com/ridehail/ridehail/lab/finding"
)

type labListCmd struct {
	experiments []finding.Experiment
}

// Run prints the table of the questions, under the course's headings.
func (c labListCmd) Run(p *process) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	heading := ""
	for _, e := range c.experiments {
		if h := string(e.Topic); h != heading {
			heading = h
			fmt.Fprintf(w, "%s\n", h)
		}
		fmt.Fprintf(w, "  %s\tridehail lab %s\t%.0f s\t%s\n", e.Question, e.Name, e.Takes.Seconds(), strings.Join(e.Asks, " "))
	}
	return w.Flush()
}

// labAllCmd runs every experiment at its defaults.
type labAllCmd struct {
	Seed  uint64 `help:"Fixes the workload, the faults and their order." default:"1"`
	JSON  bool   `help:"Print one JSON object, with every finding."`
	Check bool   `help:"Exit with 1 if a claim does not hold."`
	Runs  int    `help:"Run all this often, with one seed after the other, and print a table of how often each claim held." default:"1" range:"1..1000"`

	experiments []finding.Experiment
}

func (labAllCmd) Help() string { return "Takes two minutes at most. Example: ridehail lab all --check" }

// allReport is what lab all prints as JSON.
type allReport struct {
	Outcomes []lab.Outcome `json:"findings"` // of all runs, in their order
	Seconds  float64       `json:"seconds"`
	PeakMB   float64       `json:"peak_memory_mb"`
}

func (c *labAllCmd) Run(ctx context.Context, p *process) error {
	lines := p.out
	if c.JSON || c.Runs > 1 {
		lines = p.logs
	}

	report, began := allReport{}, time.Now()
	onEnd := func(o lab.Outcome) {
		p.clearLine()
		printOutcome(lines, o)
	}
	for i := range c.Runs {
		outcomes, err := lab.RunEach(ctx, c.experiments, c.Seed+uint64(i), p.experimentLog(), p.showExperiment, onEnd)
		if err != nil {
			return err
		}
		report.Outcomes = append(report.Outcomes, outcomes...)
	}
	report.Seconds, report.PeakMB = time.Since(began).Seconds(), readPeakMemory()

	held, claims, failed := countHeld(report.Outcomes)
	summary := fmt.Sprintf("%d of %d claims hold; %.1f s, at most %.0f MB of memory\n", held, claims, report.Seconds, report.PeakMB)
	if c.Runs > 1 {
		summary = formatHeldTable(report.Outcomes) + "\n" + summary
	}
	if err := p.printResult(c.JSON, report, summary); err != nil {
		return err
	}
	if c.Check && len(failed) > 0 {
		return fmt.Errorf("%w: in %s", errCheckFailed, strings.Join(failed, ", "))
	}
	return nil
}

// printOutcome prints a line for an experiment, and one for each claim that
// does not hold and each problem.
func printOutcome(w io.Writer, o lab.Outcome) {
	failed := o.Failed()
	fmt.Fprintf(w, "%-10s %-64s %d of %d hold %5.1f s\n", o.Experiment, o.Question, len(o.Claims)-len(failed), len(o.Claims), o.Seconds)
	for _, claim := range failed {
		fmt.Fprintf(w, "           does not hold: %s: %s (%s)\n", claim.Text, claim.Got, claim.Want)
	}
	for _, problem := range o.Problems {
		fmt.Fprintf(w, "           %s\n", problem)
	}
}

// countHeld counts claims, and names the experiments that failed.
func countHeld(outcomes []lab.Outcome) (held, claims int, failed []string) {
	for _, o := range outcomes {
		lost := len(o.Failed())
		held, claims = held+len(o.Claims)-lost, claims+len(o.Claims)
		if (lost > 0 || len(o.Problems) > 0) && !slices.Contains(failed, o.Experiment) {
			failed = append(failed, o.Experiment)
		}
	}
	return held, claims, failed
}

// formatHeldTable returns in Markdown how often each claim held, and each
// problem below. A claim is known by its number, since its text may name a
// figure.
func formatHeldTable(outcomes []lab.Outcome) string {
	type key struct {
		experiment string
		claim      int
	}
	var order []key
	var problems []string
	texts, held, runs := map[key]string{}, map[key]int{}, map[string]int{}
	for _, o := range outcomes {
		runs[o.Experiment]++
		for i, claim := range o.Claims {
			k := key{o.Experiment, i}
			if texts[k] == "" {
				order, texts[k] = append(order, k), strings.ReplaceAll(claim.Text, "|", `\|`)
			}
			if claim.Holds {
				held[k]++
			}
		}
		for _, problem := range o.Problems {
			problems = append(problems, fmt.Sprintf("\n%s, run %d: %s\n", o.Experiment, runs[o.Experiment], problem))
		}
	}

	var b strings.Builder
	b.WriteString("| experiment | claim | held |\n|---|---|---|\n")
	for _, k := range order {
		fmt.Fprintf(&b, "| %s | %s | %d of %d |\n", k.experiment, texts[k], held[k], runs[k.experiment])
	}
	return b.String() + strings.Join(problems, "")
}

// readPeakMemory returns the most memory that this process has had resident, in
// MB.
func readPeakMemory() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return float64(usage.Maxrss) / 1e6 // it counts bytes
	}
	return float64(usage.Maxrss) / 1e3
}
