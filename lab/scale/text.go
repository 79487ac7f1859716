package scale

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// Report is the sums of several worlds.
type Report struct {
	Worlds []Sum `json:"worlds"`
	Costs  Costs `json:"costs"`
}

// row is a line of the table.
type row struct {
	name string
	cell func(Sum) string
}

// rows is the table, a column for each world.
var rows = []row{
	{"drivers", func(s Sum) string { return humanize.Comma(int64(s.Drivers)) }},
	{"rides begun each second", func(s Sum) string { return round(s.RidesPerSecond) }},
	{"", nil},
	{"of each node: cores at work", func(s Sum) string { return fmt.Sprintf("%.1f", s.NodeCores) }},
	{"memory of phones and drivers", func(s Sum) string { return bytes(s.NodeMemory) }},
	{"drivers in its shared memory", func(s Sum) string { return round(s.NodeDrivers) }},
	{"  if every node were told all", func(s Sum) string { return round(s.ToldAllDrivers) }},
	{"bytes out of Redis each second", func(s Sum) string { return bytes(s.NodeBytesOut) }},
	{"  if every node were told all", func(s Sum) string { return bytes(s.ToldAllBytesOut) }},
	{"messages each second", func(s Sum) string { return round(s.NodeMessages) }},
	{"", nil},
	{"Redis: messages each second", func(s Sum) string { return round(s.RedisMessages) }},
	{"bytes out each second", func(s Sum) string { return bytes(s.RedisBytes) }},
	{"  of these the list of nodes", func(s Sum) string { return bytes(s.MemberBytes) }},
	{"masters needed", func(s Sum) string { return round(float64(s.RedisServers)) }},
	{"", nil},
	{"Postgres: writes each second", func(s Sum) string { return round(s.PostgresWrites) }},
	{"primaries needed", func(s Sum) string { return round(float64(s.PostgresPrimaries)) }},
	{"connections of all nodes", func(s Sum) string { return round(float64(s.PostgresConnections)) }},
}

// Text is the report for a terminal.
func (r Report) Text() string {
	var b strings.Builder
	w := r.Worlds[0].World
	fmt.Fprintf(&b, "%s drivers a node, a fix every %.3g s, %.0f %% in a ride, %.3g rides an hour each, %.0f %% of phones routed by region.\n",
		humanize.Comma(int64(w.DriversPerNode)), 1/w.FixesPerSecond, 100*w.OnTrip, w.RidesPerHour, 100*w.Routed)
	b.WriteString("Arithmetic from measured costs, not a measurement: docs/scale.md.\n\n")

	fmt.Fprintf(&b, "%-32s", "nodes")
	for _, s := range r.Worlds {
		fmt.Fprintf(&b, " %14s", humanize.Comma(int64(s.Nodes)))
	}
	b.WriteString("\n")
	for _, row := range rows {
		if row.cell == nil {
			b.WriteString("\n")
			continue
		}
		fmt.Fprintf(&b, "%-32s", row.name)
		for _, s := range r.Worlds {
			fmt.Fprintf(&b, " %14s", row.cell(s))
		}
		b.WriteString("\n")
	}

	b.WriteString("\nWhat one of each cannot bear first:\n")
	for _, s := range r.Worlds {
		what := s.FirstLimit
		if what == "" {
			what = "nothing"
		}
		fmt.Fprintf(&b, "%7s nodes  %s\n", humanize.Comma(int64(s.Nodes)), what)
	}
	return b.String()
}

func round(v float64) string { return humanize.Comma(int64(v + .5)) }

func bytes(v float64) string { return humanize.Bytes(uint64(v)) }
