package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/lab/operators"
)

// operatorsCmd is for cities that are simulated whole. Real operators use the
// page at /ops and ridehail refund.
type operatorsCmd struct {
	Admin          []string      `help:"URLs of the nodes' admin APIs; one that does not answer is skipped." default:"http://127.0.0.1:9090" placeholder:"URL"`
	Refund         float64       `help:"Share of paid trips to refund; needs --database and --provider." range:"0..1"`
	Database       string        `help:"postgres://USER@HOST/NAME, or a SQLite file." placeholder:"URL"`
	Provider       string        `help:"URL of the payment provider." placeholder:"URL"`
	ProviderSecret string        `help:"Our key at the payment provider." env:"RIDEHAIL_PROVIDER_SECRET" default:"sk_test" placeholder:"TEXT"`
	Seed           uint64        `help:"Decides which trips are refunded, and how long an operator thinks about each call." default:"1"`
	For            time.Duration `help:"Stop after this long. Default: never." range:"0s.."`
	JSON           bool          `help:"Print one JSON object at the end."`
	Journal        string        `help:"Write what was done to this file, as JSON lines." placeholder:"FILE" type:"path"`
}

func (operatorsCmd) Help() string {
	return "Acknowledges calls for help and refunds fares, as operators would. Example, beside riders --sos 0.1: ridehail operators"
}

func (c *operatorsCmd) Run(ctx context.Context, p *process) (err error) {
	if c.Refund > 0 && (c.Database == "" || c.Provider == "") {
		return fmt.Errorf("%w: --refund needs --database and --provider", errUsage)
	}
	kept, err := createJournal(c.Journal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()

	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}

	s, err := operators.Run(ctx, operators.Config{Admin: c.Admin, Seed: c.Seed, Journal: kept, Log: p.log,
		RefundShare: c.Refund, Database: c.Database, Provider: c.Provider, ProviderSecret: c.ProviderSecret})
	if err != nil {
		return err
	}

	return p.printResult(c.JSON, s, fmt.Sprintf("calls for help acknowledged %d, gone before %d\n", s.HelpAcknowledged, s.Refused))
}
