package main

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/simulators/provider"
)

type paymentsCmd struct {
	Listen    string  `help:"Address to serve on." default:"127.0.0.1:8090"`
	Ledger    string  `help:"File of the provider's ledger." default:"data/provider-ledger.jsonl" type:"path"`
	Secret    string  `help:"The key that nodes must send." default:"sk_test" env:"RIDEHAIL_PROVIDER_SECRET"`
	Seed      uint64  `help:"Decides which requests get which fault." default:"1"`
	LoseReply float64 `help:"Share of charges that are taken, but their answer is cut off." range:"0..1"`
	Error500  float64 `name:"error-500" help:"Share of charges that are taken, but answered with status 500." range:"0..1"`
	Hang      float64 `help:"Share of charges that are neither taken nor answered for --hang-for." range:"0..1"`
	Decline   float64 `help:"Share of charges that are declined, and of refunds that fail." range:"0..1"`

	HangFor time.Duration `help:"How long a provider that hangs does nothing; then it takes the charge if the node still waits." default:"30s" range:"0s.."`

	Webhook       string        `help:"Where to send webhooks: a node's /v1/payments/webhook. Default: nowhere." placeholder:"URL"`
	DuplicateHook float64       `help:"Share of webhooks sent twice." range:"0..1"`
	LateHook      float64       `help:"Share of webhooks sent after --late-by." range:"0..1"`
	ReorderHook   float64       `help:"Share of webhooks sent after the next one." range:"0..1"`
	LateBy        time.Duration `help:"How late a late webhook is." default:"10s" range:"0s.."`
	ForeignHook   float64       `help:"Share of webhooks that an event of another kind follows." range:"0..1"`
}

func (paymentsCmd) Help() string {
	return "Example: ridehail payments --lose-reply 0.2 --webhook http://127.0.0.1:8080/v1/payments/webhook & " +
		"ridehail serve --dev-tokens --provider http://127.0.0.1:8090"
}

func (c *paymentsCmd) Run(ctx context.Context, p *process) error {
	cfg := provider.Config{Secret: c.Secret, Webhook: c.Webhook, Faults: provider.Faults{Seed: c.Seed, LoseReply: c.LoseReply,
		Error500: c.Error500, Hang: c.Hang, HangFor: c.HangFor, Decline: c.Decline,
		DuplicateHook: c.DuplicateHook, LateHook: c.LateHook, ReorderHook: c.ReorderHook, LateBy: c.LateBy,
		ForeignHook: c.ForeignHook}}
	return provider.Run(ctx, c.Listen, c.Ledger, cfg, func(addr string) {
		p.log.Info("the payment provider is ready", "url", "http://"+addr, "ledger", c.Ledger)
	})
}
