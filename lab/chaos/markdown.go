package chaos

import (
	"fmt"
	"strings"
)

// Markdown formats the figures as two tables: the targets, and the recovery by
// kind of fault.
func (r Report) Markdown() string {
	var b strings.Builder
	row := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	row("figure", "target", "measured", "met")
	b.WriteString("|---|---|---|---|\n")
	for _, t := range r.Targets {
		row(t.Name, t.Target, t.Measured, map[bool]string{true: "yes", false: "no"}[t.Met])
	}
	b.WriteString("\n")
	row("fault", "times", "sessions", "back p50 / p99", "resume p50 / p99", "first command p50 / max", "commands meanwhile",
		"Postgres", "provider")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")

	for _, x := range r.Recoveries {
		row(x.faultName(), fmt.Sprint(x.Faults), fmt.Sprint(x.Count), formatPair(x.Count, x.Back), formatPair(x.Count, x.Resume), x.formatFirstCommand(),
			x.Meanwhile.String(), formatKnown("%.1fx", x.Load), formatKnown("%.2f", x.Calls))
	}

	return b.String()
}

func (x Recovery) faultName() string {
	if x.Kind == "" {
		return "none"
	}
	return string(x.Kind)
}

// formatFirstCommand returns how soon commands were carried out again.
func (x Recovery) formatFirstCommand() string {
	switch text := fmt.Sprintf("%.0f / %.0f ms", x.FirstOK.P50, x.FirstOK.Max); {
	case x.Faults == 0:
		return "-"
	case x.Faults == x.Never:
		return fmt.Sprintf("%d never", x.Never)
	case x.Never > 0:
		return text + fmt.Sprintf(", %d never", x.Never)
	default:
		return text
	}
}
