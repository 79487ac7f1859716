package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/simulators/trace"
)

// replay drives a recording. Bad rows are told before it begins and counted in the end.
func (c *driversCmd) replay(ctx context.Context, p *process) error {
	recording, report, err := trace.Open(c.Replay)
	if err != nil {
		return fmt.Errorf("%w: --replay %s: %w", errUsage, c.Replay, err)
	}
	for _, row := range report.Named {
		p.log.Warn("a row of the recording is left out", "row", row)
	}
	if rest := report.Bad - len(report.Named); rest > 0 {
		p.log.Warn("more rows of the recording are left out", "rows", rest)
	}
	return c.simulate(ctx, p, func(ctx context.Context, city *routing.City, stats *simulators.Stats, kept *journal.Journal) error {
		if n := strangers(city, recording); n > 0 {
			p.log.Warn("cars of the recording begin where the city has no road; does the node run this --city?", "cars", n,
				"of", len(recording.Cars))
		}
		stats.Replays(report)
		return simulators.ReplayDrivers(ctx, simulators.ReplayConfig{Server: c.Server, Trace: recording, Speed: c.Speed,
			Hidden: c.ReplayOffers == "none", Flaky: c.Flaky, Seed: c.Seed, Codec: c.codec(), Stats: stats, Journal: kept, Log: p.log})
	})
}

// strangers counts the cars that begin outside the city.
func strangers(city *routing.City, t trace.Trace) (n int) {
	for _, car := range t.Cars {
		if !city.Contains(car.Fixes[0].Point) {
			n++
		}
	}
	return n
}

// replayText tells what the file of a replay held; nothing for drivers who cruise.
func replayText(r *trace.Report) string {
	if r == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "recording of %.0f s: %d cars, %d fixes of %d rows, %d bad\n", r.Seconds, r.Cars, r.Fixes, r.Rows, r.Bad)
	for _, row := range r.Named {
		fmt.Fprintf(&b, "  %s\n", row)
	}
	return b.String()
}
