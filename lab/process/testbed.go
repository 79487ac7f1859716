package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	startWithin = time.Minute
	stopWithin  = 15 * time.Second // a node drains for ten
)

// TestbedConfig configures a testbed.
type TestbedConfig struct {
	Program string // the ridehail program to run as the node [this one]
	// Database and Redis are URLs of stores. Empty ones are started.
	Database, Redis string
	// Interpose, if set, returns the URL at which the node shall find the
	// database, such as that of a proxy.
	Interpose func(database string) (string, error)
	NodeArgs  []string // more arguments of serve
}

// Testbed is one node as a process of its own on real stores, for experiments
// that bring their own phones.
type Testbed struct {
	Server, Admin string // http://HOST:PORT of the node

	dir         string
	guard       *Guard
	services    []*Service // in the order of their start
	postgres    *Service   // the private Postgres, or nil
	supervisors errgroup.Group
	runCtx      context.Context // ends the supervisors
	stopRun     context.CancelFunc
}

// OpenTestbed starts the stores and the node, and waits until they are ready.
// Close the testbed, also after an error.
func OpenTestbed(ctx context.Context, cfg TestbedConfig) (b *Testbed, err error) {
	b = new(Testbed)
	b.runCtx, b.stopRun = context.WithCancel(context.WithoutCancel(ctx))

	if cfg.Program == "" {
		if cfg.Program, err = os.Executable(); err != nil {
			return b, err
		}
	}

	if b.dir, b.guard, err = NewFolder("ridehail-lab"); err != nil {
		return b, err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %v", startWithin))
	defer cancel()

	at, err := FreeAddresses(4)
	if err != nil {
		return b, err
	}

	if err := b.openStores(ctx, &cfg, at); err != nil {
		return b, err
	}

	if cfg.Interpose != nil {
		if cfg.Database, err = cfg.Interpose(cfg.Database); err != nil {
			return b, err
		}
	}

	b.Server, b.Admin = "http://"+at[2], "http://"+at[3]
	// No load balancer watches it. An earlier build knows no such variable.
	node := Command{Name: "node", Path: cfg.Program, Dir: b.dir, Env: []string{"RIDEHAIL_DRAIN_DELAY=0s"}, Args: []string{"serve", "--dev-tokens", "--name", "node",
		"--listen", at[2], "--admin", at[3], "--database", cfg.Database, "--redis", cfg.Redis}}
	node.Args = append(node.Args, cfg.NodeArgs...)
	return b, b.startService(ctx, NewService(Server{node, HTTPAnswers(b.Server + "/readyz")}, b.guard))
}

// openStores starts the stores without a URL, and sets their URLs.
func (b *Testbed) openStores(ctx context.Context, cfg *TestbedConfig, at []string) error {
	if cfg.Database == "" {
		server, err := PreparePostgres(ctx, b.dir, at[0], b.guard, nil, "-c", "max_connections=200")
		if err != nil {
			return err
		}
		cfg.Database, b.postgres = PostgresURL(at[0]), NewService(server, b.guard)
		if err := b.startService(ctx, b.postgres); err != nil {
			return err
		}
	}

	if cfg.Redis == "" {
		server, err := PrepareRedis(b.dir, at[1], "--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
		if err != nil {
			return err
		}
		cfg.Redis = RedisURL(at[1])
		if err := b.startService(ctx, NewService(server, b.guard)); err != nil {
			return err
		}
	}

	return nil
}

func (b *Testbed) startService(ctx context.Context, s *Service) error {
	b.services = append(b.services, s)
	b.supervisors.Go(func() error { return s.Supervise(b.runCtx) })
	return s.AwaitReady(ctx)
}

// PostgresPID returns the PID of the private Postgres, or 0.
func (b *Testbed) PostgresPID() int {
	if b.postgres == nil {
		return 0
	}
	return b.postgres.PID()
}

// Close ends all that was started, the node first, and removes the folder.
func (b *Testbed) Close() error {
	b.stopRun()
	errs := []error{b.supervisors.Wait()}
	for i := len(b.services) - 1; i >= 0; i-- {
		errs = append(errs, b.services[i].Stop(stopWithin))
	}
	if b.guard != nil {
		errs = append(errs, b.guard.Close())
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}
