package main

import (
	"context"
	"fmt"

	"github.com/ridehail/ridehail/routing/extract"
)

type importCmd struct {
	File   string `arg:"" help:"An OpenStreetMap extract: .osm, .osm.gz or .osm.pbf." type:"path"`
	Output string `short:"o" help:"The city file. Default: the extract's name with .city." placeholder:"FILE.city" type:"path"`
	Name   string `help:"The city's name. Default: the extract's name." placeholder:"TEXT"`
	JSON   bool   `help:"Print one JSON object."`
}

func (importCmd) Help() string {
	return "Example: ridehail import monaco.osm.gz -o monaco.city && ridehail demo --city monaco.city"
}

func (c *importCmd) Run(ctx context.Context, p *process) error {
	bar := newProgressBar(p.logs)
	sum, err := extract.Import(ctx, c.File, c.Output, extract.Options{Name: c.Name, Progress: bar.draw})
	bar.clear()
	if extract.IsInputError(err) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err != nil {
		return err
	}
	return p.printResult(c.JSON, sum, sum.Text())
}
