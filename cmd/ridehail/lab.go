package main

import (
	"context"
	"fmt"
	"os"

	"github.com/ridehail/ridehail/lab"
)

type labCmd struct {
	Detectors labDetectorsCmd `cmd:"" help:"Failure detectors: phi-accrual against fixed timeouts, on good and bad links."`
}

// labFlags are those of every experiment.
type labFlags struct {
	Seed uint64 `help:"The same seed gives the same bytes." default:"1"`
	Plot string `help:"Draw the finding into this SVG file." placeholder:"FILE.svg" type:"path"`
	JSON bool   `help:"Print one JSON object."`
}

// show prints what an experiment found.
func (f labFlags) show(p *process, found lab.Finding) error {
	if f.Plot != "" {
		if err := os.WriteFile(f.Plot, []byte(found.SVG()), 0o644); err != nil {
			return fmt.Errorf("the picture cannot be written: %w", err)
		}
	}
	return p.print(f.JSON, found, found.Text())
}

type labDetectorsCmd struct {
	labFlags `embed:""`
	Hours    int `help:"Driver-hours on each link, in virtual time." default:"1000"`
}

func (labDetectorsCmd) Help() string {
	return "Takes seconds and needs no node. Example: ridehail lab detectors --plot detectors.svg"
}

func (c *labDetectorsCmd) Run(ctx context.Context, p *process) error {
	if c.Hours <= 0 {
		return fmt.Errorf("%w: --hours must be 1 or more", errUsage)
	}
	found, err := lab.Detectors(ctx, lab.DetectorsConfig{Hours: c.Hours, Seed: c.Seed})
	if err != nil {
		return err
	}
	return c.show(p, found)
}
