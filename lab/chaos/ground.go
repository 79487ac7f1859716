package chaos

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
)

// GroundConfig says where an experiment takes place.
type GroundConfig struct {
	Program string // the ridehail program to run as the node [this one]
	// Database and Redis are addresses of stores to use; when one is empty, a private one is started.
	Database, Redis string
	// Through returns the address at which the node shall find the database; nil: its own.
	Through func(database string) (string, error)
}

// Ground is one node as a process of its own on real stores, for experiments that bring their own phones.
type Ground struct {
	Door, Admin string // http://HOST:PORT of the node
	city        *city
	own         *service // the private Postgres, or nil
}

// OpenGround starts what the experiment needs and waits until it serves. Close what it returns, also beside an error.
func OpenGround(ctx context.Context, cfg GroundConfig) (g *Ground, err error) {
	c := &city{cfg: Config{Program: cfg.Program}, leave: func() {}, leftOut: map[Kind]string{}, keepers: new(errgroup.Group)}
	g = &Ground{city: c}
	if c.cfg.Program == "" {
		if c.cfg.Program, err = os.Executable(); err != nil {
			return g, err
		}
	}
	if c.dir, err = os.MkdirTemp("", "ridehail-lab."); err != nil {
		return g, err
	}
	if err := os.Chmod(c.dir, 0o755); err != nil { // the user postgres passes through it
		return g, err
	}
	if c.guard, err = newGuard(c.dir); err != nil {
		return g, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %v", startWithin))
	defer cancel()
	at, err := freeAddresses(4)
	if err != nil {
		return g, err
	}
	kept, leave := context.WithCancel(context.WithoutCancel(ctx))
	c.leave = leave
	run := func(s *service) error {
		c.keepers.Go(func() error { return s.keep(kept) })
		return s.await(ctx)
	}
	if cfg.Database == "" {
		if err := c.preparePostgres(ctx, at[0]); err != nil {
			return g, err
		}
		if err := run(c.postgres); err != nil {
			return g, err
		}
		cfg.Database, g.own = databaseURL(at[0]), c.postgres
	}
	if cfg.Redis == "" {
		if err := c.prepareRedis(at[1]); err != nil {
			return g, err
		}
		if err := run(c.redis); err != nil {
			return g, err
		}
		cfg.Redis = "redis://" + at[1] + "/0"
	}
	if cfg.Through != nil {
		if cfg.Database, err = cfg.Through(cfg.Database); err != nil {
			return g, err
		}
	}
	g.Door, g.Admin = "http://"+at[2], "http://"+at[3]
	n := &node{listen: at[2], admin: at[3]}
	c.nodes = append(c.nodes, n)
	n.service = c.program("node", httpAnswers(g.Door+"/readyz"), "serve", "--dev-tokens", "--name", "node",
		"--listen", n.listen, "--admin", n.admin, "--database", cfg.Database, "--redis", cfg.Redis)
	return g, run(n.service)
}

// Postgres is the process of the private Postgres, or 0.
func (g *Ground) Postgres() int {
	if g.own == nil {
		return 0
	}
	g.own.mu.Lock()
	defer g.own.mu.Unlock()
	if g.own.now == nil {
		return 0
	}
	return g.own.now.group
}

// Close ends all that was started.
func (g *Ground) Close() error { return g.city.close(false) }
