package main

import (
	"context"
	"fmt"
)

// labBreakCmd runs a planted bug.
type labBreakCmd struct {
	Args []string `arg:"" optional:"" passthrough:"" name:"name" help:"The bug."`
}

func (c *labBreakCmd) Run(ctx context.Context, p *process) error { return breakPromise(ctx, p, c.Args) }

// breakPromise runs the planted bug that the arguments name.
func breakPromise(context.Context, *process, []string) error {
	return fmt.Errorf("%w: this build has no planted bugs", errUsage)
}
