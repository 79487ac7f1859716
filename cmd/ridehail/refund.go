package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

type refundCmd struct {
	Trip           string `help:"The trip that should not have been completed." required:"" placeholder:"ID"`
	Reason         string `help:"Why; stored with the refund and sent to the provider." required:"" placeholder:"TEXT"`
	Database       string `help:"postgres://USER@HOST/NAME, or a SQLite file." default:"data/ridehail.db" env:"RIDEHAIL_DATABASE" placeholder:"URL"`
	Provider       string `help:"URL of the payment provider." default:"http://127.0.0.1:8090" env:"RIDEHAIL_PROVIDER" placeholder:"URL"`
	ProviderSecret string `help:"Our key at the payment provider." env:"RIDEHAIL_PROVIDER_SECRET" default:"sk_test" placeholder:"TEXT"`
	JSON           bool   `help:"Print one JSON object."`
}

func (refundCmd) Help() string {
	return "Refunds the whole fare of a charged trip, once, however often it is asked. What cannot be finished now, " +
		"the nodes finish later. Example: ridehail refund --trip ID --reason \"completed by mistake\""
}

func (c *refundCmd) Run(ctx context.Context, p *process) error {
	db, closeStore, err := store.OpenExisting(ctx, c.Database)
	if err != nil {
		return err
	}

	settler := payments.NewSettler(db, c.Provider, c.ProviderSecret, time.Now)
	r, err := settler.RefundTrip(ctx, trips.TripID(c.Trip), c.Reason)
	err = errors.Join(err, closeStore())
	switch {
	case errors.Is(err, trips.ErrNotFound):
		return fmt.Errorf("%w: trip %s was not charged, there is nothing to give back", errUsage, c.Trip)
	case err != nil && r.State == payments.RefundRequested:
		return fmt.Errorf("the refund is recorded, and the nodes will go on asking the provider: %w", markUnreachable(err))
	case err != nil:
		return err
	}

	if err := p.printResult(c.JSON, r, formatRefund(r)); err != nil {
		return err
	}
	if r.State == payments.RefundFailed {
		return fmt.Errorf("%w: the provider could not give the money back; ask again, or look at its dashboard", errCheckFailed)
	}

	return nil
}

// formatRefund formats a refund for a person.
func formatRefund(r payments.Refund) string {
	how := map[payments.RefundState]string{payments.RefundDone: "given back", payments.RefundFailed: "not given back",
		payments.RefundRequested: "on its way back: the provider works on it, the nodes see it to its end"}[r.State]
	return fmt.Sprintf("%v of trip %s: %s\n", r.Amount, r.Trip, how)
}
