package main

import (
	"context"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/journal"
)

type ridersCmd struct {
	simulatorFlags
	Count     int     `help:"How many people." default:"60" range:"1..1000000"`
	PerMinute float64 `help:"How many of them want a ride per minute of city time. Default: a twentieth." range:"0..1000000"`
	Prefix    string  `help:"Prefix of the riders' ids." default:"rider"`
}

func (ridersCmd) Help() string {
	return "Needs a node that gives development tokens. Example, beside drivers: ridehail riders --count 100"
}

func (c *ridersCmd) Run(ctx context.Context, p *process) error {
	return c.runSimulator(ctx, p, func(ctx context.Context, city *routing.City, speed float64, stats *simulators.Stats, kept *journal.Journal) error {
		return simulators.RunRiders(ctx, simulators.RiderConfig{Server: c.Server, Spread: c.Spread, City: city, Count: c.Count, PerMinute: c.PerMinute,
			Speed: speed, Seed: c.Seed, Flaky: c.Flaky, SOS: c.SOS, Prefix: c.Prefix, Codec: parseCodec(c.Codec), Stats: stats, Journal: kept,
			Log: p.log})
	})
}
