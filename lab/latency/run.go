// Package latency measures how long a driver's update takes to a rider's
// socket, hop by hop, through the public API.
//
// Senders are open-loop: the latency of an update counts from the time when it
// is due, whether or not the sender kept up, so that a stall adds to the
// latency of every update it delayed.
package latency

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ridehail/ridehail/wire"
)

// Config configures a run. Zero values stand for the defaults in brackets.
type Config struct {
	Server   string        // http://HOST:PORT
	Pairs    int           // [100]
	Rate     float64       // updates per second and pair [1]
	For      time.Duration // [10 s]
	Warmup   time.Duration // before it, not counted [1 s]
	Codec    wire.Codec    // [wire.Proto]
	Bare     bool          // the server is the bare relay, not a node
	Log      *slog.Logger
	Progress func(string) // if set, called with a line for each step of the run
}

func (c Config) withDefaults() Config {
	c.Pairs, c.Rate = cmp.Or(max(c.Pairs, 0), 100), cmp.Or(max(c.Rate, 0), 1)
	c.For, c.Warmup = cmp.Or(max(c.For, 0), 10*time.Second), cmp.Or(max(c.Warmup, 0), time.Second)
	if c.Codec == nil {
		c.Codec = wire.Proto
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}

	return c
}

// drainFor bounds the wait for the last updates after sending has ended.
const drainFor = 5 * time.Second

// Run pairs drivers with riders, measures, and ends the trips. It returns after
// everything it started has ended.
func Run(ctx context.Context, cfg Config) (Report, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(ctx)
	m := &recorder{cfg: cfg}
	var readers sync.WaitGroup
	crew := &crew{cfg: cfg, client: newClient(cfg), recorder: m, readers: &readers, ctx: ctx}
	defer readers.Wait()
	defer crew.close()
	defer cancel()
	defer crew.endAllTrips(context.WithoutCancel(ctx))

	if err := crew.makePairs(ctx); err != nil {
		return Report{}, fmt.Errorf("pair drivers and riders at %s: %w", cfg.Server, err)
	}
	cfg.Progress(fmt.Sprintf("warming up %d pairs", cfg.Pairs))
	crew.sendUpdates(ctx, cfg.Warmup)
	crew.awaitDrained(ctx)
	m.startMeasuring(crew.pairs)
	cfg.Progress(fmt.Sprintf("measuring for %s", cfg.For))
	crew.sendUpdates(ctx, cfg.For)
	crew.awaitDrained(ctx)
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}

	r := m.buildReport(crew.pairs)
	r.TripEvents = crew.sumEvents()
	return r, nil
}
