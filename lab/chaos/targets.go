package chaos

import (
	"fmt"
	"strings"
)

// Target is a figure beside its aim. A missed target fails no run, because
// figures depend on the machine and on the length of the run. Broken promises
// do.
type Target struct {
	Name     string `json:"name"`
	Target   string `json:"target"`
	Measured string `json:"measured"`
	Met      bool   `json:"met"`
}

// The aims.
const (
	wantKills      = 20
	wantReconnects = 1000
	wantOperations = 100_000
	wantTakeoverMs = 10_000
	wantResumeMs   = 250
	wantBackMs     = 3000
	wantPostgresMs = 1000
)

// ackedIsDone is the invariant that no acked transition is lost.
const ackedIsDone = "each command acked as done was done, and once"

// compareTargets compares the figures with their aims. An aim about something
// that never happened is not met.
func (r Report) compareTargets() (out []Target) {
	add := func(name, target string, met bool, measured string, args ...any) {
		out = append(out, Target{name, target, fmt.Sprintf(measured, args...), met})
	}
	checked := 0
	for _, i := range r.Invariants {
		checked += i.Checked
		if i.Name == ackedIsDone {
			add("acked transitions lost", "0", i.Checked > 0 && i.Violations == 0, "%d of %d", i.Violations, i.Checked)
		}
	}

	add("promises broken", "0", r.Violations == 0, "%d of %d checked", r.Violations, checked)
	add("kills", fmt.Sprintf("≥ %d", wantKills), r.Load.Kills >= wantKills, "%d", r.Load.Kills)
	add("reconnects", fmt.Sprintf("≥ %d", wantReconnects), r.Sessions.Count >= wantReconnects, "%d", r.Sessions.Count)
	o := r.Operations
	add("operations", fmt.Sprintf("≥ %d", wantOperations), o.Total >= wantOperations,
		"%d: %d commands, %d probes, %d welcomes, %d positions", o.Total, o.Commands, o.Probes, o.Welcomes, o.Positions)
	t := r.Takeover
	add("takeover of a struck node's jobs, p99", fmt.Sprintf("≤ %d ms", wantTakeoverMs),
		t.Jobs > 0 && t.Open == 0 && t.WaitMs.P99 <= wantTakeoverMs, "%v, of %d jobs (%d without an end)", t.WaitMs, t.Jobs, t.Open)
	s := r.Sessions
	add("resume while nothing is broken, p99", fmt.Sprintf("≤ %d ms", wantResumeMs),
		s.WholeCount > 0 && s.Whole.P99 <= wantResumeMs, "%v, of %d", s.Whole, s.WholeCount)
	k := r.recoveryFrom(KillNode)
	add("sessions back after a node is killed, p99", fmt.Sprintf("≤ %d ms", wantBackMs),
		k.Count > 0 && k.Back.P99 <= wantBackMs, "%v, of %d", k.Back, k.Count)
	add("first command after Postgres is ready again", fmt.Sprintf("≤ %d ms", wantPostgresMs),
		r.PostgresKills > 0 && r.PostgresBack.Max <= wantPostgresMs, "%v, of %d kills with nothing else broken", r.PostgresBack, r.PostgresKills)
	var most, left ResourceUse
	for _, n := range r.Resources {
		most = most.maxWith(n.Most.subtract(n.Warm))
		left = left.maxWith(n.After.subtract(n.Before))
	}

	add("heap of a node during faults, above before them", fmt.Sprintf("≤ %d MiB", spareHeapMiB), len(r.Resources) > 0 && most.HeapMiB <= spareHeapMiB,
		"%.1f MiB", most.HeapMiB)
	add("left at a node in the end", fmt.Sprintf("≤ %d goroutines, %d descriptors, %d MiB", spareHandles, spareHandles, spareHeapMiB),
		len(r.Resources) > 0 && !left.exceeds(ResourceUse{}), "%v", left)
	return out
}

func (h ResourceUse) subtract(o ResourceUse) ResourceUse {
	return ResourceUse{Goroutines: h.Goroutines - o.Goroutines, Descriptors: h.Descriptors - o.Descriptors, HeapMiB: h.HeapMiB - o.HeapMiB}
}

// writeFigures writes the part of the report that fails no run.
func (r Report) writeFigures(b *strings.Builder) {
	how := "each fault alone"
	if !r.Isolated {
		how = "faults overlap, and each has a share in what the others made"
	}
	fmt.Fprintf(b, "back by kind of fault (%s):\n%-22s %6s %8s  %-17s %-17s %-24s %-12s %8s %9s\n", how, "fault", "times",
		"sessions", "back p50/p99", "resume p50/p99", "first command p50/max", "commands", "postgres", "calls")

	for _, x := range r.Recoveries {
		fmt.Fprintf(b, "%-22s %6d %8d  %-17s %-17s %-24s %-12s %8s %9s\n", x.faultName(), x.Faults, x.Count, formatPair(x.Count, x.Back),
			formatPair(x.Count, x.Resume), x.formatFirstCommand(), x.Meanwhile, formatKnown("%.2fx", x.Load), formatKnown("%.2f", x.Calls))
	}

	b.WriteString("commands: carried out within a second while the fault lasted; postgres: transactions a second against calm; calls: requests the provider had for each charge\n\n")
	fmt.Fprintf(b, "%-10s %-34s %-34s %-34s %s\n", "node", "before", "with all phones", "most during faults", "after")
	for _, u := range r.Resources {
		fmt.Fprintf(b, "%-10s %-34s %-34s %-34s %s\n", u.Node, u.Before.formatShort(), u.Warm.formatShort(), u.Most.formatShort(), u.After.formatShort())
	}
	b.WriteString("g: goroutines, d: descriptors, MiB: of heap\n\n")

	for _, t := range r.Targets {
		mark := "met      "
		if !t.Met {
			mark = "not met  "
		}
		fmt.Fprintf(b, "%s%-48s %-14s %s\n", mark, t.Name, t.Target, t.Measured)
	}

	b.WriteString("\n")
}

func (h ResourceUse) formatShort() string {
	return fmt.Sprintf("%d g, %d d, %.1f MiB", h.Goroutines, h.Descriptors, h.HeapMiB)
}

func formatPair(n int, q Quantiles) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f / %.0f ms", q.P50, q.P99)
}

func formatKnown(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}
