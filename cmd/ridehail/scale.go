package main

import (
	"fmt"

	"github.com/ridehail/ridehail/lab/scale"
)

// scaleCmd adds up what many nodes cost.
type scaleCmd struct {
	Nodes   []int   `help:"Numbers of nodes, a column each." default:"1,10,100,1000"`
	Drivers int     `help:"Drivers of each node." default:"10000" range:"1..10000000"`
	Rate    float64 `help:"Fixes a second of each driver." default:"1" range:"0.01..100"`
	OnTrip  float64 `help:"Share of the drivers who are on a trip." default:"0.5" range:"0..1"`
	Rides   float64 `help:"Rides an hour of each driver." default:"1.5" range:"0..60"`
	Viewers float64 `help:"Riders a driver who look at the map of free cars." default:"0.2" range:"0..1000"`
	Routed  float64 `help:"Share of phones that a balancer sends to a node that owns regions where they are." default:"0" range:"0..1"`
	JSON    bool    `help:"Print one JSON object."`
}

func (scaleCmd) Help() string {
	return "Multiplies costs that were measured (docs/scale.md) by your numbers; it measures nothing. " +
		"Example, a world of ten million drivers whose phones are routed by region: ridehail scale --nodes 1000 --drivers 10000 --routed 0.9"
}

func (c *scaleCmd) Run(p *process) error {
	report := scale.Report{Costs: scale.Measured}
	for _, n := range c.Nodes {
		w := scale.World{Nodes: n, DriversPerNode: c.Drivers, FixesPerSecond: c.Rate, OnTrip: c.OnTrip, RidesPerHour: c.Rides,
			Viewers: c.Viewers, Routed: c.Routed}
		if err := w.Check(); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		report.Worlds = append(report.Worlds, scale.Add(w, report.Costs))
	}
	return p.printResult(c.JSON, report, report.Text())
}
