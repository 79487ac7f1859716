package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	virtual "github.com/ridehail/ridehail/lab/simulation"
	"github.com/ridehail/ridehail/routing"
)

// simulateCmd runs a city in virtual time.
type simulateCmd struct {
	City          string        `help:"Seed of a generated city, or a city file." default:"1" placeholder:"SEED|FILE"`
	Policy        []string      `help:"Who decides who drives whom, with commas between: greedy, batched, or patient (greedy that refuses far pickups)." default:"greedy,batched"`
	Drivers       int           `help:"Drivers, on shifts of six hours in eight." default:"200"`
	RidersPerHour float64       `help:"People who want a ride, on the mean of a day." default:"600"`
	Hours         float64       `help:"Hours of the city." default:"3"`
	Begin         int           `help:"Hour of the day at the beginning." default:"16"`
	Seed          uint64        `help:"The same seed gives the same people, and the same bytes." default:"1"`
	Seeds         int           `help:"This many seeds, from --seed on: shows how much is chance." default:"1"`
	Surge         bool          `help:"Prices follow demand." default:"true" negatable:""`
	Patience      time.Duration `help:"Batched: a longer pickup is not worth it yet. Default: the dispatcher's."`
	LastCall      time.Duration `help:"Batched: who has waited so long takes whoever there is. Default: the dispatcher's."`
	Age           float64       `help:"Batched: seconds of pickup that a second of a rider's waiting is worth. Default: the dispatcher's."`
	Idle          float64       `help:"Batched: seconds of pickup that a second of a driver's waiting is worth; none below 0. Default: the dispatcher's."`
	Plot          string        `help:"Draw the waits into this SVG file." placeholder:"FILE.svg" type:"path"`
	JSON          bool          `help:"Print one JSON object."`
}

func (simulateCmd) Help() string {
	return "Hours of a city in seconds, without a node: the node's dispatcher, routing and prices, one event after the other. " +
		"Example: ridehail simulate --seed 1 --policy greedy,batched --drivers 200 --riders-per-hour 600 --hours 3 --plot waits.svg"
}

func (c *simulateCmd) Run(ctx context.Context, p *process) error {
	if c.Seeds < 1 || c.Seeds > 1000 {
		return fmt.Errorf("%w: --seeds must be 1 to 1000", errUsage)
	}
	city, err := routing.Open(c.City)
	if err != nil {
		return fmt.Errorf("%w: city: %w", errUsage, err)
	}
	cfg := virtual.Config{City: city, Drivers: c.Drivers, RidersPerHour: c.RidersPerHour, Hours: c.Hours, Begin: c.Begin, Surge: c.Surge,
		Weights: dispatch.Weights{Patience: c.Patience, LastCall: c.LastCall, Age: c.Age, Idle: c.Idle}}
	seeds := make([]uint64, c.Seeds)
	for i := range seeds {
		seeds[i] = c.Seed + uint64(i)
	}
	report, err := virtual.Compare(ctx, cfg, c.Policy, seeds, runtime.GOMAXPROCS(0), c.progress(p))
	switch {
	case errors.Is(err, virtual.ErrConfig):
		return fmt.Errorf("%w: %w", errUsage, err)
	case err != nil:
		return err
	}
	if c.Plot != "" {
		if err := os.WriteFile(c.Plot, []byte(report.SVG()), 0o644); err != nil {
			return fmt.Errorf("the picture cannot be written: %w", err)
		}
	}
	return p.print(c.JSON, report, report.Text())
}

// progress tells of each run that ended, how fast it was, and how many are left.
func (c *simulateCmd) progress(p *process) func(virtual.Result, time.Duration) {
	var mu sync.Mutex
	done, all := 0, c.Seeds*len(c.Policy)
	return func(r virtual.Result, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		done++
		fmt.Fprintf(p.logs, "%d of %d: %s, seed %d: %g h in %.1f s, %.0f times real time\n", done, all, r.Policy, r.Seed, c.Hours,
			took.Seconds(), c.Hours*3600/took.Seconds())
	}
}
