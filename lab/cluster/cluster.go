// Package cluster starts several nodes as processes on this machine, spreads
// drivers and riders over all of them, and measures what each node costs and
// how long positions take between nodes. What it measures is ratios: nodes,
// phones, Redis and Postgres share the machine.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/process"
)

// Config configures a run. Zero values stand for the defaults in brackets.
type Config struct {
	Program string // the ridehail program to run as children [this one]
	Sizes   []int  // how many nodes, one size after the other [1, 2, 4]

	// Database is a Postgres server that lets its user create databases [one of
	// this run].
	Database string
	// Redis is one of the Redis constants, or the URL of a server
	// [RedisEmbedded].
	Redis string

	// For each node. Pairs are pairs of a driver and a rider of the latency
	// measurement; half of them have both phones on one node.
	DriversPerNode, RidersPerNode, PairsPerNode int     // [100, 40, 50]
	Rate                                        float64 // updates per second of each pair [1]

	Seed  uint64
	For   time.Duration // how long is measured under load [30 s]
	Idle  time.Duration // how long is measured without phones [10 s]
	Speed float64       // of the city's time, so that rides end within a run [40]

	// Kill kills a node in the middle, and a master of RedisCluster, and
	// measures how long positions, news and offers stay away. It needs two nodes
	// or more. No latencies are measured then.
	Kill bool

	Log      *slog.Logger // [nothing is logged]
	Progress func(string) // if set, called with a line for each step
}

// The kinds of Redis that a run starts itself.
const (
	RedisEmbedded = "embedded" // in this process
	RedisServer   = "server"
	RedisCluster  = "cluster" // three masters with a replica each
)

// ErrConfig says that a run cannot be configured so.
var ErrConfig = errors.New("cluster")

func (c Config) withDefaults() (Config, error) {
	if len(c.Sizes) == 0 {
		c.Sizes = []int{1, 2, 4}
	}
	c.Redis = cmp.Or(c.Redis, RedisEmbedded)
	c.DriversPerNode, c.RidersPerNode = cmp.Or(c.DriversPerNode, 100), cmp.Or(c.RidersPerNode, 40)
	c.PairsPerNode, c.Rate = cmp.Or(c.PairsPerNode, 50), cmp.Or(c.Rate, 1)
	c.For, c.Idle, c.Speed = cmp.Or(c.For, 30*time.Second), cmp.Or(c.Idle, 10*time.Second), cmp.Or(c.Speed, 40)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}

	smallest := slices.Min(c.Sizes)
	switch {
	case smallest < 1 || slices.Max(c.Sizes) > maxNodes:
		return c, fmt.Errorf("%w: give sizes of 1 to %d nodes", ErrConfig, maxNodes)
	case !isURL(c.Redis) && !slices.Contains([]string{RedisEmbedded, RedisServer, RedisCluster}, c.Redis):
		return c, fmt.Errorf("%w: Redis is %s, %s, %s or a URL, not %q", ErrConfig, RedisEmbedded, RedisServer, RedisCluster, c.Redis)
	case c.Kill && smallest < 2:
		return c, fmt.Errorf("%w: to kill a node takes two or more", ErrConfig)
	case c.DriversPerNode < 1 || c.RidersPerNode < 1 || c.PairsPerNode < 2 || c.For < time.Second || !(c.Speed > 0) || !(c.Rate > 0):
		return c, fmt.Errorf("%w: a node takes a driver, a rider and two pairs or more, and a run a second or more", ErrConfig)
	}

	var err error
	if c.Program == "" {
		c.Program, err = os.Executable()
	}
	return c, err
}

const (
	maxNodes    = 32
	startWithin = time.Minute
	stopWithin  = 15 * time.Second
)

// MissingServers returns an error that names each program that a run with this
// Redis and database needs and that is not installed, and what installs it.
func MissingServers(redis, database string) error {
	var errs []error
	if redis == RedisServer || redis == RedisCluster {
		errs = append(errs, process.MissingRedis())
	}
	if database == "" {
		errs = append(errs, process.MissingPostgres())
	}
	return errors.Join(errs...)
}

// Run measures each size and returns what it found. A missed figure and a
// broken promise are in the report and no error. Errors are about the run
// itself: a program is missing, or a process did not start. No process that it
// starts outlives it, even if it is killed.
func Run(ctx context.Context, cfg Config) (r Report, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return r, err
	}
	if err := MissingServers(cfg.Redis, cfg.Database); err != nil {
		return r, err
	}

	r = Report{Redis: cfg.Redis, DriversPerNode: cfg.DriversPerNode, RidersPerNode: cfg.RidersPerNode, PairsPerNode: cfg.PairsPerNode,
		RateHz: cfg.Rate, ForS: cfg.For.Seconds(), Speed: cfg.Speed, Seed: cfg.Seed}
	if isURL(cfg.Redis) {
		r.Redis = "a server of yours"
	}

	g, err := openGround(ctx, cfg)
	defer func() {
		keep := err != nil && ctx.Err() == nil && !errors.Is(err, finding.ErrUsage) && !errors.Is(err, finding.ErrUnreachable)
		err = errors.Join(err, g.close(keep))
		if keep { // the logs may say why
			err = fmt.Errorf("%w (logs: %s)", err, g.dir)
		}
	}()
	if err != nil {
		return r, err
	}

	for _, nodes := range cfg.Sizes {
		s, err := g.measureSize(ctx, nodes)
		if err != nil {
			return r, fmt.Errorf("%d nodes: %w", nodes, err)
		}
		r.Sizes = append(r.Sizes, s)
	}

	r.judge()
	return r, nil
}

// ground is what all sizes of a run share: the folder of the logs, and
// Postgres.
type ground struct {
	cfg      Config
	dir      string
	guard    *process.Guard
	postgres *process.Process // nil: a server of the user's
	database string           // URL
}

// openGround starts Postgres. Close the ground, also after an error.
func openGround(ctx context.Context, cfg Config) (g *ground, err error) {
	g = &ground{cfg: cfg, database: cfg.Database}
	if g.dir, g.guard, err = process.NewFolder("ridehail-cluster"); err != nil || cfg.Database != "" {
		return g, err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %v", startWithin))
	defer cancel()
	cfg.Progress("starting Postgres")
	at, err := process.FreeAddresses(1)
	if err != nil {
		return g, err
	}
	server, err := process.PreparePostgres(ctx, g.dir, at[0], g.guard, nil, "-c", "max_connections=800")
	if err != nil {
		return g, err
	}
	g.database = process.PostgresURL(at[0])
	g.postgres, err = server.Serve(ctx, g.guard)
	return g, err
}

// close removes the folder unless keep is set.
func (g *ground) close(keep bool) error {
	var errs []error
	if g.postgres != nil {
		errs = append(errs, g.postgres.Stop(stopWithin))
	}
	if g.guard != nil {
		errs = append(errs, g.guard.Close())
	}
	if !keep && g.dir != "" {
		errs = append(errs, os.RemoveAll(g.dir))
	}
	return errors.Join(errs...)
}
