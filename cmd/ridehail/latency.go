package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/lab/latency"
	"github.com/ridehail/ridehail/lab/line"
)

type latencyCmd struct {
	Server string        `help:"URL of the node." default:"http://127.0.0.1:8080"`
	Pairs  int           `help:"Pairs of a driver and a rider, each on a real trip." default:"100" range:"1..1000000"`
	Rate   float64       `help:"Updates per second of each pair." default:"10" range:"0.01..1000"`
	For    time.Duration `help:"How long to measure." default:"10s" range:"100ms.."`
	Codec  string        `help:"Subprotocol: proto or json." enum:"proto,json" default:"proto"`
	Line   *line.Spec    `help:"Put a line between phones and node: delay and loss of each way, so that 40ms,2% makes a round trip of 80 ms." placeholder:"DELAY,LOSS"`
	Plot   string        `help:"Draw the histogram into this SVG file." placeholder:"FILE.svg" type:"path"`
	JSON   bool          `help:"Print one JSON object."`
}

func (latencyCmd) Help() string {
	return "Needs a node that gives development tokens. Example, beside a running demo: ridehail latency --pairs 200 --rate 5\n\n" +
		"Over a phone network: ridehail latency --line 40ms,2%. TCP loses nothing for good: what the line loses comes some 0.2 s later, " +
		"and what follows waits for it."
}

func (c *latencyCmd) Run(ctx context.Context, p *process) error {
	r, err := latency.Run(ctx, latency.Config{Server: c.Server, Pairs: c.Pairs, Rate: c.Rate, For: c.For, Codec: parseCodec(c.Codec),
		Line: c.Line, Log: p.log, Progress: func(s string) { fmt.Fprintln(p.logs, s+" …") }})
	if errors.Is(err, latency.ErrLine) {
		return fmt.Errorf("%w: --line: %w", errUsage, err)
	}
	if err != nil {
		return markUnreachable(err)
	}

	if err := writePlot(c.Plot, r.SVG()); err != nil {
		return err
	}
	if err := p.printResult(c.JSON, r, r.Text()); err != nil {
		return err
	}
	return checkComplete(r)
}

// checkComplete fails if anything that was sent did not arrive.
func checkComplete(r latency.Report) error {
	if r.Lost != 0 || r.TripEvents.Missing != 0 {
		return fmt.Errorf("%w: %d updates were lost, %d trip events are missing", errCheckFailed, r.Lost, r.TripEvents.Missing)
	}
	return nil
}
