package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/lab/latency"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/wire"
)

type latencyCmd struct {
	Server string        `help:"The node." default:"http://127.0.0.1:8080"`
	Pairs  int           `help:"Driver and rider pairs, each on a real trip." default:"100"`
	Rate   float64       `help:"Updates per second and pair." default:"10"`
	For    time.Duration `help:"How long to measure." default:"10s"`
	Codec  string        `help:"Subprotocol: proto or json." enum:"proto,json" default:"proto"`
	Plot   string        `help:"Draw the histogram into this SVG file." placeholder:"FILE.svg" type:"path"`
	JSON   bool          `help:"Print one JSON object."`
}

func (latencyCmd) Help() string {
	return "Needs a node that gives development tokens. Example, beside a running demo: ridehail latency --pairs 200 --rate 5"
}

func (c *latencyCmd) Run(ctx context.Context, p *process) error {
	codec := wire.Proto
	if c.Codec == "json" {
		codec = wire.JSON
	}
	r, err := latency.Run(ctx, latency.Config{Server: c.Server, Pairs: c.Pairs, Rate: c.Rate, For: c.For, Codec: codec,
		Log: p.log, Progress: func(s string) { fmt.Fprintln(p.logs, s+" …") }})
	if err != nil {
		return unreachable(err)
	}
	if c.Plot != "" {
		if err := os.WriteFile(c.Plot, []byte(r.SVG()), 0o644); err != nil {
			return fmt.Errorf("the picture cannot be written: %w", err)
		}
	}
	if err := p.print(c.JSON, r, r.Text()); err != nil {
		return err
	}
	return complete(r)
}

// complete says what did not come of all that was sent.
func complete(r latency.Report) error {
	if r.Lost != 0 || r.TripEvents.Missing != 0 {
		return fmt.Errorf("%w: %d updates were lost, %d trip events are missing", errCheckFailed, r.Lost, r.TripEvents.Missing)
	}
	return nil
}

// unreachable marks errors of the network, for the exit code.
func unreachable(err error) error {
	if op := new(net.OpError); errors.As(err, &op) {
		return fmt.Errorf("%w: %w (is the node running?)", errUnreachable, err)
	}
	return err
}

// print writes the one JSON object, or the text.
func (p *process) print(asJSON bool, v any, text string) error {
	if !asJSON {
		_, err := fmt.Fprint(p.out, text)
		return err
	}
	enc := json.NewEncoder(p.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

type auditCmd struct {
	Database string        `help:"postgres://USER@HOST/NAME, or a SQLite file." default:"data/ridehail.db" env:"RIDEHAIL_DATABASE" placeholder:"URL"`
	Grace    time.Duration `help:"How long a charge or a notice may take." default:"1m"`
	JSON     bool          `help:"Print one JSON object."`
}

// auditReport is the report with its sum.
type auditReport struct {
	audit.Report
	Violations int `json:"violations"`
}

func (auditCmd) Help() string {
	return "Only reads; may run beside a busy city. Exit code 1 when an invariant is broken. Example: ridehail audit --database data/ridehail.db"
}

func (c *auditCmd) Run(ctx context.Context, p *process) error {
	if !store.IsPostgres(c.Database) {
		if _, err := os.Stat(c.Database); err != nil {
			return fmt.Errorf("%w: no database to audit: %w", errUsage, err)
		}
	}
	db, closeIt, err := store.Open(ctx, c.Database)
	if err != nil {
		return err
	}
	r, err := audit.Run(ctx, db, audit.Config{Grace: c.Grace})
	if err = errors.Join(err, closeIt()); err != nil {
		return err
	}
	n := r.Violations()
	if err := p.print(c.JSON, auditReport{r, n}, r.Text()); err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%w: %d violations", errCheckFailed, n)
	}
	return nil
}

type migrateCmd struct {
	Database string `help:"postgres://USER@HOST/NAME, or a SQLite file." default:"data/ridehail.db" env:"RIDEHAIL_DATABASE" placeholder:"URL"`
}

func (migrateCmd) Help() string {
	return "Nodes do this by themselves when they start. Example: ridehail migrate --database postgres://ridehail@localhost/ridehail"
}

func (c *migrateCmd) Run(ctx context.Context, p *process) error {
	if err := store.Migrate(ctx, c.Database); err != nil {
		return unreachable(err)
	}
	_, err := fmt.Fprintln(p.out, "the schema is up to date")
	return err
}

type routingCmd struct {
	Listen string `help:"Address to serve on." default:"127.0.0.1:8070"`
	City   string `help:"Seed of a generated city, or a city file." default:"1" placeholder:"SEED|FILE"`
}

func (routingCmd) Help() string {
	return "Speaks Connect, gRPC and gRPC health. Example: ridehail routing & ridehail serve --dev-tokens --routing http://127.0.0.1:8070"
}

func (c *routingCmd) Run(ctx context.Context, p *process) error {
	city, err := routing.Open(c.City)
	if err != nil {
		return fmt.Errorf("%w: city: %w", errUsage, err)
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	p.log.Info("the routing service is ready", "url", "http://"+l.Addr().String(), "city", city.Name())
	return httpserver.Run(ctx, l, routing.NewHandler(routing.NewRouter(city)))
}

type paymentsCmd struct {
	Listen    string  `help:"Address to serve on." default:"127.0.0.1:8090"`
	Ledger    string  `help:"The provider's own ledger." default:"data/provider-ledger.jsonl" type:"path"`
	Secret    string  `help:"The key that nodes must send." default:"sk_test" env:"RIDEHAIL_PROVIDER_SECRET"`
	Seed      uint64  `help:"Of the faults." default:"1"`
	LoseReply float64 `help:"Share of charges taken whose answer is cut off."`
	Error500  float64 `name:"error-500" help:"Share of charges taken and answered with 500."`
	Hang      float64 `help:"Share of charges not taken and not answered for --hang-for."`
	Decline   float64 `help:"Share of charges declined, and of refunds that fail."`

	HangFor time.Duration `help:"How long a provider that hangs does nothing; then it takes the charge, if anybody still waits." default:"30s"`

	Webhook       string        `help:"Where to tell what was done: a node's /v1/payments/webhook. Default: nowhere." placeholder:"URL"`
	DuplicateHook float64       `help:"Share of webhooks sent twice."`
	LateHook      float64       `help:"Share of webhooks sent after --late-by."`
	ReorderHook   float64       `help:"Share of webhooks sent after the next one."`
	LateBy        time.Duration `help:"How late a late webhook is." default:"10s"`
}

func (paymentsCmd) Help() string {
	return "Example: ridehail payments --lose-reply 0.2 --webhook http://127.0.0.1:8080/v1/payments/webhook & " +
		"ridehail serve --dev-tokens --provider http://127.0.0.1:8090"
}

func (c *paymentsCmd) Run(ctx context.Context, p *process) error {
	if err := os.MkdirAll(filepath.Dir(c.Ledger), 0o755); err != nil {
		return fmt.Errorf("the folder of %s: %w", c.Ledger, err)
	}
	cfg := provider.Config{Secret: c.Secret, Webhook: c.Webhook, Faults: provider.Faults{Seed: c.Seed, LoseReply: c.LoseReply,
		Error500: c.Error500, Hang: c.Hang, HangFor: c.HangFor, Decline: c.Decline,
		DuplicateHook: c.DuplicateHook, LateHook: c.LateHook, ReorderHook: c.ReorderHook, LateBy: c.LateBy}}
	return provider.Run(ctx, c.Listen, c.Ledger, cfg, func(addr string) {
		p.log.Info("the payment provider is ready", "url", "http://"+addr, "ledger", c.Ledger)
	})
}
