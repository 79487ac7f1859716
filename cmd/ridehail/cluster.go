package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/lab/cluster"
)

type clusterCmd struct {
	Nodes          []int         `help:"How many nodes; several sizes run one after the other." default:"1,2,4" sep:"," placeholder:"N,N"`
	Database       string        `help:"postgres://USER@HOST/NAME of a server on which each size makes a database of its own. Default: a server of this run." placeholder:"URL"`
	Redis          string        `help:"embedded (in this process), server (a redis-server), cluster (three masters with a replica each), or a URL." default:"embedded"`
	DriversPerNode int           `help:"Simulated drivers for each node; their phones begin at random nodes." default:"100" range:"1..100000"`
	RidersPerNode  int           `help:"Simulated riders for each node." default:"40" range:"1..100000"`
	PairsPerNode   int           `help:"Pairs of a driver and a rider that measure latencies, for each node. Half of them have both phones on one node." default:"50" range:"2..100000"`
	Rate           float64       `help:"Updates per second of each pair." default:"1" range:"0.01..1000"`
	Seed           uint64        `help:"The same seed makes the same people, at the same nodes." default:"1"`
	For            time.Duration `help:"How long to measure each size under load." default:"30s" range:"1s.."`
	Idle           time.Duration `help:"How long to measure each size without phones." default:"10s" range:"1s.."`
	Speed          float64       `help:"Seconds of city time per second, so that rides end within a run." default:"40" range:"0.01..1000"`
	Kill           bool          `help:"Kill a node in the middle, and a master with --redis cluster, and measure how long positions, news and offers stay away. Measures no latencies."`
	Check          bool          `help:"Exit with 1 when a figure is missed."`
	JSON           bool          `help:"Print one JSON object."`
}

func (clusterCmd) Help() string {
	return "Starts nodes, simulators, a payment provider, a Redis and a Postgres on this machine, and prints what each node costs and how long " +
		"positions take between nodes. All share the machine, so look at ratios. " +
		"Example: ridehail cluster --nodes 1,2,4 --redis server --for 30s"
}

func (c *clusterCmd) Run(ctx context.Context, p *process) error {
	if err := cluster.MissingServers(c.Redis, c.Database); err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}

	r, err := cluster.Run(ctx, cluster.Config{Sizes: c.Nodes, Database: c.Database, Redis: c.Redis, DriversPerNode: c.DriversPerNode,
		RidersPerNode: c.RidersPerNode, PairsPerNode: c.PairsPerNode, Rate: c.Rate, Seed: c.Seed, For: c.For, Idle: c.Idle, Speed: c.Speed,
		Kill: c.Kill, Log: p.log, Progress: func(s string) { fmt.Fprintln(p.logs, s+" …") }})
	if errors.Is(err, cluster.ErrConfig) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err != nil {
		return err
	}

	if err := p.printResult(c.JSON, r, r.Text()); err != nil {
		return err
	}
	if c.Check && r.Missed > 0 {
		return fmt.Errorf("%w: %d of %d figures are missed", errCheckFailed, r.Missed, len(r.Figures))
	}
	return nil
}
