package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/ridehail/ridehail/lab/planted"
)

// labBreakCmd runs a planted bug.
type labBreakCmd struct {
	Name     string `arg:"" optional:"" help:"The bug. Without one: list them."`
	Mended   bool   `help:"Run the story without the bug, in a program that has it."`
	Steps    []int  `help:"Take only these steps of the story." placeholder:"N,..." range:"1..100"`
	Database string `help:"postgres://USER@HOST/NAME, for a bug that needs two transactions at a time. Default: a private Postgres." placeholder:"URL"`
	Plot     string `help:"Draw the history into this SVG file." placeholder:"FILE.svg" type:"path"`
	JSON     bool   `help:"Print one JSON object."`
	Node     string `help:"Be the node of a story on this SQLite file." hidden:"" placeholder:"FILE"`
}

func (labBreakCmd) Help() string {
	return "Shows the broken promise, the shortest history that breaks it, and its Lamport diagram. Only the program that make " +
		"lab-broken builds has the bugs; every other one shows that the promise holds. Example: ridehail lab break ack-before-commit"
}

func (c *labBreakCmd) Run(ctx context.Context, p *process) error {
	switch {
	case c.Node != "":
		return planted.ServeNode(ctx, c.Node, os.Stdin, p.out)
	case c.Name == "":
		return p.printResult(c.JSON, planted.Lessons(), planted.List())
	}

	self, err := os.Executable()
	if err != nil {
		return err
	}
	found, err := planted.Run(ctx, planted.Config{Mended: c.Mended, Steps: c.Steps, Database: c.Database,
		StartNode: func(file string) *exec.Cmd { return exec.Command(self, "lab", "break", "--node", file) }}, c.Name)
	if err != nil {
		return err
	}

	if err := writePlot(c.Plot, found.SVG()); err != nil {
		return err
	}
	if err := p.printResult(c.JSON, found, found.Text()); err != nil {
		return err
	}
	if found.Holds == found.Planted && len(c.Steps) == 0 {
		return fmt.Errorf("%w: the promise should %s here", errCheckFailed, map[bool]string{true: "be broken", false: "hold"}[found.Planted])
	}
	return nil
}
