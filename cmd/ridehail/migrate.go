package main

import (
	"context"
	"fmt"

	"github.com/ridehail/ridehail/store"
)

type migrateCmd struct {
	Database string `help:"postgres://USER@HOST/NAME, or a SQLite file." default:"data/ridehail.db" env:"RIDEHAIL_DATABASE" placeholder:"URL"`
}

func (migrateCmd) Help() string {
	return "Nodes do this themselves when they start. Example: ridehail migrate --database postgres://ridehail:PASSWORD@localhost/ridehail"
}

func (c *migrateCmd) Run(ctx context.Context, p *process) error {
	if err := store.Migrate(ctx, c.Database); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.out, "the schema is up to date")
	return err
}
