package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/lab/chaos"
)

type chaosCmd struct {
	For        time.Duration `help:"How long to inject faults; start and check take extra time." default:"60s" range:"10s.."`
	Seed       uint64        `help:"The same seed injects the same faults at the same times." default:"1"`
	Nodes      int           `help:"How many nodes." default:"2" range:"1..20"`
	Drivers    int           `help:"How many simulated drivers." default:"120" range:"1..1000000"`
	Riders     int           `help:"How many simulated riders." default:"80" range:"1..1000000"`
	Redis      string        `help:"What the nodes' Redis is: one server, or a Redis Cluster of three masters with a replica each." enum:"server,cluster" default:"server"`
	Database   string        `help:"How the nodes reach Postgres: a server, through PgBouncer, or a primary with a standby that confirms each commit." enum:"server,pgbouncer,standby" default:"server"`
	Namespaces bool          `help:"Give each node a network namespace of its own, so that it can be cut off; needs root on Linux."`
	Speed      float64       `help:"Seconds of city time per second, so that rides end within a run." default:"40" range:"0.01..1000"`
	Alone      bool          `help:"Heal each fault, and let the city recover, before the next; for measuring."`
	JSON       bool          `help:"Print one JSON object."`
	Markdown   bool          `help:"Print the figures as tables in Markdown."`
}

func (chaosCmd) Help() string {
	return "Starts nodes, simulators, a payment provider, and a Postgres and a Redis of its own (both must be installed), " +
		"kills, pauses and disconnects them on a schedule, heals everything, and checks every promise. " +
		"Exit code 1 when one is broken. Example: ridehail chaos --for 60s --seed 7"
}

func (c *chaosCmd) Run(ctx context.Context, p *process) error {
	if min(c.Drivers, c.Riders) < c.Nodes {
		return fmt.Errorf("%w: --drivers and --riders must each be as many as --nodes or more", errUsage)
	}
	engines := chaos.Engines{Redis: c.Redis, Database: c.Database, Namespaces: c.Namespaces}
	if err := engines.MissingServers(); err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	r, err := chaos.Run(ctx, chaos.Config{For: c.For, Seed: c.Seed, Nodes: c.Nodes, Drivers: c.Drivers, Riders: c.Riders,
		Isolated: c.Alone, Engines: engines, Speed: c.Speed, Log: p.log})
	if err != nil {
		return err
	}

	text := r.Text()
	if c.Markdown {
		text = r.Markdown()
	}
	if err := p.printResult(c.JSON, r, text); err != nil {
		return err
	}

	for _, i := range r.Invariants {
		if i.Violations > 0 {
			return fmt.Errorf("%w: %d violations, such as: %s: %s", errCheckFailed, r.Violations, i.Name, firstRow(i.Rows))
		}
	}

	return nil
}

// firstRow returns the first row, or a text that says there is none.
func firstRow(rows []string) string {
	if len(rows) == 0 {
		return "(not named)"
	}
	return rows[0]
}
