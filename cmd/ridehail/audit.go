package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/store/audit"
)

type auditCmd struct {
	Database string        `help:"postgres://USER@HOST/NAME, or a SQLite file." default:"data/ridehail.db" env:"RIDEHAIL_DATABASE" placeholder:"URL"`
	Grace    time.Duration `help:"How long a charge or an outbox message may take." default:"1m" range:"0s.."`
	JSON     bool          `help:"Print one JSON object."`
}

// auditReport is the report with its number of violations.
type auditReport struct {
	audit.Report
	Violations int `json:"violations"`
}

func (auditCmd) Help() string {
	return "Only reads, and may run while the city is busy, or on a standby. Exit code 1 when an invariant is broken. Example: ridehail audit --database data/ridehail.db"
}

func (c *auditCmd) Run(ctx context.Context, p *process) error {
	db, closeSource, err := store.OpenReadOnly(ctx, c.Database)
	if err != nil {
		return err
	}

	r, err := audit.Run(ctx, db, audit.Config{Grace: c.Grace})
	if err = errors.Join(err, closeSource()); err != nil {
		return err
	}

	n := r.Violations()
	if err := p.printResult(c.JSON, auditReport{r, n}, r.Text()); err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%w: %d violations", errCheckFailed, n)
	}

	return nil
}
