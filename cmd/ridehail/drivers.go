package main

import (
	"context"
	"fmt"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/simulators/trace"
)

type driversCmd struct {
	simulatorFlags
	Count   int     `help:"How many drivers." default:"200" range:"1..1000000"`
	Rate    float64 `help:"Positions per second of each driver." default:"1" range:"0.01..1000"`
	Decline float64 `help:"Share of offers to decline." default:"0.05" range:"0..1"`
	Cheat   float64 `hidden:"" help:"Share of the steps to try from afar first, which nodes must refuse." range:"0..1"`
	Prefix  string  `help:"Prefix of the drivers' ids." default:"driver"`
	Replay  string  `help:"Drive what this CSV or GPX file recorded instead, under the ids in it." placeholder:"FILE" type:"path"`

	ReplayOffers string `help:"What recorded cars, which cannot change their route, do: decline every offer, or be unavailable for offers." enum:"decline,none" default:"decline"`
}

func (driversCmd) Help() string {
	return "Needs a node that gives development tokens. Example: ridehail serve --dev-tokens --speed 5 & ridehail drivers --count 500\n\n" +
		"A recording for --replay is a table with the columns id, time, lng and lat (heading and speed if known), or GPX tracks; " +
		"times are RFC 3339, Unix seconds or milliseconds. It ends after its last fix."
}

func (c *driversCmd) Run(ctx context.Context, p *process) error {
	if c.Replay != "" {
		return c.replayRecording(ctx, p)
	}
	decline := c.Decline
	if decline == 0 {
		decline = -1 // none at all
	}
	return c.runSimulator(ctx, p, func(ctx context.Context, city *routing.City, speed float64, stats *simulators.Stats, kept *journal.Journal) error {
		return simulators.RunDrivers(ctx, simulators.DriverConfig{Server: c.Server, Spread: c.Spread, City: city, Count: c.Count, Speed: speed,
			Seed: c.Seed, Flaky: c.Flaky, SOS: c.SOS, Cheat: c.Cheat, Rate: c.Rate, Prefix: c.Prefix, Decline: decline, Codec: parseCodec(c.Codec), Stats: stats,
			Journal: kept, Log: p.log})
	})
}

// replayRecording drives a recording. It logs bad rows before it begins; the
// statistics count them.
func (c *driversCmd) replayRecording(ctx context.Context, p *process) error {
	recording, report, err := trace.Open(c.Replay)
	if err != nil {
		return fmt.Errorf("%w: --replay %s: %w", errUsage, c.Replay, err)
	}

	for _, row := range report.NamedRows {
		p.log.Warn("a row of the recording is left out", "row", row)
	}
	if rest := report.BadRows - len(report.NamedRows); rest > 0 {
		p.log.Warn("more rows of the recording are left out", "rows", rest)
	}

	return c.runSimulator(ctx, p, func(ctx context.Context, city *routing.City, speed float64, stats *simulators.Stats, kept *journal.Journal) error {
		if n := recording.CountOutside(city.Contains); n > 0 {
			p.log.Warn("cars of the recording begin where the city has no road; is it a recording of another city?", "cars", n,
				"of", len(recording.Cars))
		}
		stats.SetTraceReport(report)
		return simulators.ReplayDrivers(ctx, simulators.ReplayConfig{Server: c.Server, Spread: c.Spread, City: city, Trace: recording, Speed: speed,
			Hidden: c.ReplayOffers == "none", Flaky: c.Flaky, Seed: c.Seed, Codec: parseCodec(c.Codec), Stats: stats, Journal: kept, Log: p.log})
	})
}
