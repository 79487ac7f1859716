package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/web"
)

// nodeFlags are the flags that serve and demo share.
type nodeFlags struct {
	Database string `help:"postgres://USER@HOST/NAME, or a SQLite file. Default: a file in the data folder." env:"RIDEHAIL_DATABASE" placeholder:"URL"`
	Conns    *int   `name:"database-connections" help:"Connections to Postgres at most. Default: pool_max_conns of the URL, or 16. A node needs two: one that commits and one that reads." env:"RIDEHAIL_DATABASE_CONNECTIONS" placeholder:"N" range:"2..10000"`
	Redis    string `help:"redis://HOST:PORT/DB, redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB or redis+cluster://HOST:PORT,HOST:PORT; rediss for TLS. Default: one inside this process." env:"RIDEHAIL_REDIS" placeholder:"URL"`
	City     string `help:"Seed of a generated city, or a city file." default:"1" placeholder:"SEED|FILE"`
	Routing  string `help:"URL of a routing service, or osrm:URL for an OSRM server. Default: one inside this process." env:"RIDEHAIL_ROUTING" placeholder:"URL"`
	Policy   string `help:"How drivers are chosen: ${enum}. Batched gathers requests for two seconds when there are many." enum:"batched,greedy" default:"batched"`
}

// databaseConns returns how many connections were asked for, or 0.
func (f *nodeFlags) databaseConns() int {
	if f.Conns == nil {
		return 0
	}
	return *f.Conns
}

type serveCmd struct {
	nodeFlags
	Listen         string        `help:"Address of the public API." default:"127.0.0.1:8080"`
	Admin          string        `help:"Address of the admin API: metrics, health, profiles, operators' page. Keep it private." default:"127.0.0.1:9090"`
	Name           string        `help:"The node's name, unique among nodes and the same after a restart. Default: host name and port."`
	Data           string        `help:"Folder for the database when --database is not given." default:"data" type:"path"`
	DevTokens      bool          `help:"Issue any token to anyone who asks. For simulators and trying out; never in production."`
	Secret         string        `help:"Signs tokens; at least 32 bytes, the same on every node." env:"RIDEHAIL_SECRET" placeholder:"TEXT"`
	Provider       string        `help:"URL of the payment provider. Default: none, and completed trips stay unpaid." env:"RIDEHAIL_PROVIDER" placeholder:"URL"`
	ProviderSecret string        `help:"Our key at the payment provider." env:"RIDEHAIL_PROVIDER_SECRET" default:"sk_test" placeholder:"TEXT"`
	Origin         []string      `help:"Another site whose pages may open sockets, as https://HOST; repeat for more."`
	TraceRatio     float64       `help:"Share of trips whose every hop is recorded, for ridehail xray and a collector (OTEL_EXPORTER_OTLP_ENDPOINT). 0 records none, 1 all." default:"0.01" range:"0..1" env:"RIDEHAIL_TRACE_RATIO"`
	Speed          float64       `help:"How fast the simulators' time runs, so that the node accepts the speeds of their cars." default:"1" range:"0.01..1000"`
	DrainDelay     time.Duration `help:"How long to go on working after SIGTERM while /readyz says no, so that load balancers send no more phones; 0 stops at once." default:"5s" range:"0s.." env:"RIDEHAIL_DRAIN_DELAY"`
	ClockOffset    time.Duration `help:"Start with a clock that is wrong by this much, to test wrong clocks." hidden:"" range:".."`
}

func (serveCmd) Help() string {
	return "Example: ridehail serve --dev-tokens --database postgres://ridehail:PASSWORD@localhost/ridehail --redis redis://localhost:6379/0"
}

// developmentSecret signs tokens on nodes with --dev-tokens and no secret. It
// is a constant, so that several such nodes accept each other's tokens.
const developmentSecret = "development only: anyone may have a token"

func (c *serveCmd) Run(ctx context.Context, p *process) error {
	cfg, err := c.config(p)
	if err != nil {
		return err
	}
	return node.Run(ctx, cfg, func(n *node.Node) {
		p.log.Info("the node is ready", "page", n.PublicURL(), "node", cfg.Name)
		if admin := n.AdminURL(); admin != "" {
			p.log.Info("the admin API is ready", "metrics", strings.TrimPrefix(admin, "http://")+"/metrics")
		}
		if !web.HasLibraries() {
			p.log.Warn("the page lacks its map library: run make web and build again")
		}
	})
}

func (c *serveCmd) config(p *process) (node.Config, error) {
	cfg := node.Config{Name: c.Name, Listen: c.Listen, Admin: c.Admin, Database: c.Database, Redis: c.Redis, City: c.City,
		DatabaseConns: c.databaseConns(), Routing: c.Routing, Policy: c.Policy, Provider: c.Provider, ProviderSecret: c.ProviderSecret,
		Secret: []byte(c.Secret), DevTokens: c.DevTokens, Origins: c.Origin, Speed: c.Speed, ClockOffset: c.ClockOffset, TraceRatio: c.TraceRatio,
		DrainDelay: c.DrainDelay, SkipDelay: p.secondSignal, Log: p.log}
	if c.Secret == "" {
		if !c.DevTokens {
			return cfg, fmt.Errorf("%w: give --secret (or RIDEHAIL_SECRET) of at least 32 bytes, or --dev-tokens to try things out", errUsage)
		}
		cfg.Secret = []byte(developmentSecret)
	}

	if c.Database == "" {
		cfg.Database = c.Data + "/ridehail.db"
	}
	if cfg.Name == "" {
		cfg.Name = node.DefaultName(c.Listen)
	}

	return cfg, nil
}
