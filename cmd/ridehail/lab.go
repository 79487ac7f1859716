package main

import (
	"context"
	"fmt"
	"time"

	detectorlab "github.com/ridehail/ridehail/lab/detectors"
	"github.com/ridehail/ridehail/lab/finding"
	servers "github.com/ridehail/ridehail/lab/process"
	stormlab "github.com/ridehail/ridehail/lab/storm"
)

type labCmd struct {
	Detectors labDetectorsCmd `cmd:"" help:"Failure detectors: phi-accrual against fixed timeouts, on good and bad links."`
	Storm     labStormCmd     `cmd:"" help:"All phones of a node lose their connections at once: how soon they are back, and what it costs."`
}

// labFlags are the flags of every experiment.
type labFlags struct {
	Seed uint64 `help:"The same seed gives the same output." default:"1"`
	Plot string `help:"Draw the finding into this SVG file." placeholder:"FILE.svg" type:"path"`
	JSON bool   `help:"Print one JSON object."`
}

// printFinding prints and draws what an experiment found.
func (f labFlags) printFinding(p *process, found finding.OldFinding) error {
	if err := writePlot(f.Plot, found.SVG()); err != nil {
		return err
	}
	return p.printResult(f.JSON, found, found.Text())
}

type labDetectorsCmd struct {
	labFlags `embed:""`
	Hours    int `help:"Driver-hours on each link, in virtual time." default:"1000" range:"1..1000000"`
}

func (labDetectorsCmd) Help() string {
	return "Takes seconds and needs no node. Example: ridehail lab detectors --plot detectors.svg"
}

func (c *labDetectorsCmd) Run(ctx context.Context, p *process) error {
	found, err := detectorlab.Run(ctx, detectorlab.Config{Hours: c.Hours, Seed: c.Seed})
	if err != nil {
		return err
	}
	return c.printFinding(p, found)
}

type labStormCmd struct {
	labFlags `embed:""`
	Phones   int           `help:"How many lose their connections at the same instant." default:"5000" range:"50..1000000"`
	Jitter   string        `help:"Whether phones randomise when they reconnect; both: one storm of each." enum:"true,false,both" default:"both"`
	Steady   time.Duration `help:"How long ordinary work is measured before each storm." default:"20s" range:"1s.."`
	Program  string        `help:"Another build of ridehail to run as the node, to compare." placeholder:"FILE" type:"existingfile"`
	Database string        `help:"postgres://USER@HOST/NAME. Default: a private Postgres." placeholder:"URL"`
	Redis    string        `help:"redis://HOST:PORT/DB. Default: a private Redis." placeholder:"URL"`
}

func (labStormCmd) Help() string {
	return "Starts a node, and a Postgres and a Redis of its own (both must be installed), lets thousands of light phones do " +
		"ordinary work, and cuts all their connections. The only experiment in real time. Example: ridehail lab storm --phones 5000 --plot storm.svg"
}

func (c *labStormCmd) Run(ctx context.Context, p *process) error {
	if c.Database == "" || c.Redis == "" {
		if err := servers.MissingServers(); err != nil {
			return fmt.Errorf("%w: %w", errUnreachable, err)
		}
	}

	jitter := map[string][]bool{"true": {true}, "false": {false}, "both": {true, false}}[c.Jitter]
	found, err := stormlab.RunStorm(ctx, stormlab.StormConfig{Phones: c.Phones, Seed: c.Seed, Jitter: jitter, Steady: c.Steady, Program: c.Program, Database: c.Database, Redis: c.Redis, Log: p.log})
	if err != nil {
		return err
	}
	return c.printFinding(p, found)
}
