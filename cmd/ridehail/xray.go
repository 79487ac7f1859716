package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"charm.land/lipgloss/v2"

	"github.com/ridehail/ridehail/xray/report"
)

// xrayCmd shows a ride hop by hop.
type xrayCmd struct {
	Trip     string `arg:"" optional:"" help:"The trip's id. Without one the newest trips are listed."`
	Server   string `help:"URL of a node's public API." default:"http://127.0.0.1:8080" env:"RIDEHAIL_SERVER" placeholder:"URL"`
	Admin    string `help:"URL of a node's admin API, which asks for no token; instead of --server." env:"RIDEHAIL_XRAY_ADMIN" placeholder:"URL"`
	Token    string `help:"A token of the trip's rider or driver. A node with --dev-tokens asks for none." env:"RIDEHAIL_TOKEN" placeholder:"TOKEN"`
	All      bool   `help:"Show each position, and not only the first."`
	Perfetto string `help:"Write a file that https://ui.perfetto.dev opens." placeholder:"FILE.json" type:"path"`
	JSON     bool   `help:"Print one JSON object."`
}

func (xrayCmd) Help() string {
	return "Needs a node that records rides, as a demo does. Examples, beside a running demo: ridehail xray lists the newest trips, " +
		"and ridehail xray TRIP shows one of them.\n\n" +
		"In production: ridehail xray TRIP --admin http://127.0.0.1:9090"
}

func (c *xrayCmd) Run(ctx context.Context, p *process) error {
	source := report.Source{URL: cmp.Or(c.Admin, c.Server), Token: c.Token}
	if c.Trip == "" {
		return c.listTrips(ctx, p, source)
	}

	ride, err := source.Ride(ctx, c.Trip)
	if err != nil {
		return explainSource(err)
	}
	if c.Perfetto != "" {
		if err := writePerfetto(c.Perfetto, ride); err != nil {
			return err
		}
		fmt.Fprintf(p.logs, "open %s in https://ui.perfetto.dev\n", c.Perfetto)
	}
	return c.print(p, ride, report.Text(ride, c.All))
}

func (c *xrayCmd) listTrips(ctx context.Context, p *process, source report.Source) error {
	if c.Perfetto != "" {
		return fmt.Errorf("%w: --perfetto needs a trip; `ridehail xray` without it lists the newest ones", errUsage)
	}
	kept, err := source.Trips(ctx)
	if err != nil {
		return explainSource(err)
	}
	return c.print(p, kept, report.TripsText(kept))
}

// print writes the value as JSON, or the text with as many colours as there may
// be.
func (c *xrayCmd) print(p *process, value any, text string) error {
	if c.JSON {
		return p.printResult(true, value, "")
	}
	_, err := lipgloss.Fprint(p.out, text)
	return err
}

func writePerfetto(file string, ride report.Ride) error {
	trace, err := report.Perfetto(ride)
	if err == nil {
		err = os.WriteFile(file, trace, 0o644)
	}
	if err != nil {
		return fmt.Errorf("%w: --perfetto: %w", errUsage, err)
	}
	return nil
}

// explainSource chooses the exit code of an error.
func explainSource(err error) error {
	switch {
	case errors.Is(err, report.ErrUsage):
		return fmt.Errorf("%w: %w", errUsage, err)
	case errors.Is(err, report.ErrUnreachable):
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return err
}
