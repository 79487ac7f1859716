package cluster

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Text is the report for a terminal.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "For each node %d drivers, %d riders and %d pairs at %g Hz; %g times real time, measured for %g s; Redis: %s\n",
		r.DriversPerNode, r.RidersPerNode, r.PairsPerNode, r.RateHz, r.Speed, r.ForS, r.Redis)
	for _, s := range r.Sizes {
		s.write(&b)
	}

	b.WriteString("\nFigures\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range r.Figures {
		mark := "ok"
		if !f.Good {
			mark = "MISSED"
		}
		fmt.Fprintf(t, "  %s\t%s\t%.4g%s\tat most %g%s\n", mark, f.Name, f.Value, f.Unit, f.Limit, f.Unit)
	}
	_ = t.Flush() // a Builder takes all
	return b.String()
}

func (s Size) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%d nodes: %d trips, %d completed; %.0f commits/s; CPU of Redis %.1f %%, of Postgres %.1f %%\n",
		s.Nodes, s.Trips, s.Completed, s.CommitsPerS, s.RedisCPUPercent, s.PostgresCPUPercent)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(s.PerNode) > 0 {
		fmt.Fprint(t, "  node\tCPU %\tmessages in/s\tout/s\tKiB in/s\tout/s\tcommands/s\tfixes/s\tdrivers\toffers\tgoroutines\tMiB\t\n")
	}
	for _, n := range s.PerNode {
		fmt.Fprintf(t, "  %s\t%.1f\t%.0f\t%.0f\t%.1f\t%.1f\t%.0f\t%.0f\t%d\t%d\t%d\t%.0f\t\n", n.Name, n.CPUPercent, n.MessagesInPerS, n.MessagesOutPerS,
			n.BytesInPerS/1024, n.BytesOutPerS/1024, n.CommandsPerS, n.FixesPerS, n.Drivers, n.Offers, n.Goroutines, n.MemoryMiB)
	}
	_ = t.Flush()

	fmt.Fprintf(b, "  an idle node: %.1f commands/s, %.1f commits/s, %.2f %% of a core, %.0f B/s in, %.0f B/s out\n",
		s.Idle.CommandsPerS, s.Idle.CommitsPerS, s.Idle.CPUPercent, s.Idle.BytesInPerS, s.Idle.BytesOutPerS)
	s.Same.write(b, "on one node")
	s.Across.write(b, "across nodes")
	for _, k := range s.Kills {
		k.write(b)
	}
	fmt.Fprintf(b, "  at the end: %d violations, %d broken promises; stuck: %d trips, %d messages, %d jobs\n",
		s.Violations, s.BrokenPromises, s.Stuck.OpenTrips, s.Stuck.Outbox, s.Stuck.Jobs)
	for _, row := range s.Broken {
		fmt.Fprintf(b, "    %s\n", row)
	}
}

func (l *Latency) write(b *strings.Builder, where string) {
	if l == nil {
		return
	}
	fmt.Fprintf(b, "  positions %s: p50 %.2f  p99 %.2f  max %.2f ms; sent %d, delivered %d, overwritten %d, lost %d; trip events missing %d\n",
		where, l.P50, l.P99, l.Max, l.Sent, l.Delivered, l.Overwritten, l.Lost, l.EventsMissing)
}
