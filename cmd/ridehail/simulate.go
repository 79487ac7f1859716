package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/simulation"
	"github.com/ridehail/ridehail/routing"
)

// simulateCmd runs a city in virtual time.
type simulateCmd struct {
	City          string        `help:"Seed of a generated city, or a city file." default:"1" placeholder:"SEED|FILE"`
	Policy        []string      `help:"How drivers are chosen, with commas between: greedy, batched, or patient (greedy, but refuses far pickups)." default:"greedy,batched"`
	Owners        []int         `help:"How many nodes share the dispatch of the city, 1 to 8; with commas between to compare." default:"1"`
	Alone         bool          `help:"The owners do not tell each other which trips wait: shows what that is worth."`
	Drivers       int           `help:"How many drivers; each works six hours of every eight." default:"200" range:"1..1000000"`
	RidersPerHour float64       `help:"People who want a ride per hour, as the mean of a day." default:"600" range:"0.01..10000000"`
	Hours         float64       `help:"Hours of city time." default:"3" range:"0.01..744"`
	Begin         int           `help:"Hour of the day at which it begins." default:"16" range:"0..23"`
	Seed          uint64        `help:"The same seed gives the same people, and the same output." default:"1"`
	Seeds         int           `help:"How many seeds, from --seed on: shows how much is chance." default:"1" range:"1..1000"`
	Surge         bool          `help:"Prices follow demand." default:"true" negatable:""`
	Patience      time.Duration `help:"Batched: the longest pickup that a rider gets before --last-call. Default: the dispatcher's." range:"0s..24h"`
	LastCall      time.Duration `help:"Batched: after waiting this long a rider gets any driver. Default: the dispatcher's." range:"0s..24h"`
	Age           float64       `help:"Batched: seconds of pickup that a second of a rider's waiting is worth. Default: the dispatcher's." range:"0..10"`
	Idle          float64       `help:"Batched: seconds of pickup that a second of a driver's waiting is worth; none below 0. Default: the dispatcher's." range:"-1..10"`
	Plot          string        `help:"Draw the waits into this SVG file." placeholder:"FILE.svg" type:"path"`
	JSON          bool          `help:"Print one JSON object."`
}

func (simulateCmd) Help() string {
	return "Simulates hours of a city in seconds, without a node: it uses the node's dispatcher, routing and prices. " +
		"Example: ridehail simulate --seed 1 --policy greedy,batched --drivers 200 --riders-per-hour 600 --hours 3 --plot waits.svg"
}

func (c *simulateCmd) Run(ctx context.Context, p *process) error {
	city, err := routing.Open(c.City)
	if err != nil {
		return fmt.Errorf("%w: city: %w", errUsage, err)
	}

	cfg := simulation.Config{City: city, OwnerOf: events.OwnerNumber, Alone: c.Alone, Drivers: c.Drivers, RidersPerHour: c.RidersPerHour, Hours: c.Hours, Begin: c.Begin, Surge: c.Surge,
		Weights: dispatch.Weights{MaxPickup: c.Patience, MaxWait: c.LastCall, WaitWeight: c.Age, IdleWeight: c.Idle}}
	report, err := simulation.Compare(ctx, cfg, simulation.Variants(c.Policy, c.Owners), simulation.ConsecutiveSeeds(c.Seed, c.Seeds), runtime.GOMAXPROCS(0), c.showProgress(p))
	switch {
	case errors.Is(err, simulation.ErrConfig):
		return fmt.Errorf("%w: %w", errUsage, err)
	case err != nil:
		return err
	}

	if err := writePlot(c.Plot, report.SVG()); err != nil {
		return err
	}

	return p.printResult(c.JSON, report, report.Text())
}

// showProgress returns a function that prints which run has ended and how fast
// it was. The runs' goroutines may call it.
func (c *simulateCmd) showProgress(p *process) func(simulation.Result, time.Duration) {
	var mu sync.Mutex
	done, all := 0, c.Seeds*len(c.Policy)*len(c.Owners)
	return func(r simulation.Result, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		done++
		fmt.Fprintf(p.logs, "%d of %d: %s, seed %d: %g h in %.1f s, %.0f times real time\n", done, all,
			simulation.Variant{Policy: r.Policy, Owners: r.Owners}, r.Seed, c.Hours,
			took.Seconds(), c.Hours*3600/took.Seconds())
	}
}
