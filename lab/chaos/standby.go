package chaos

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/process"
)

// promotedWithin bounds the time until a standby takes writes, and until
// another one follows it.
const promotedWithin = time.Minute

// standbyPair is two Postgres. One takes writes; the other one confirms each
// commit before it is acknowledged.
type standbyPair struct {
	city            *city
	first, second   *pairedServer // as they were started
	primary, follow *pairedServer // in their roles now
}

type pairedServer struct {
	*process.Service
	dir, address string
}

// startStandby starts a standby of c.postgres.
func (c *city) startStandby(ctx context.Context, primary, standby string) (*standbyPair, error) {
	p := &standbyPair{city: c, first: &pairedServer{c.postgres, c.dir, primary}}
	p.second = &pairedServer{dir: c.dir + "/standby", address: standby}
	p.primary, p.follow = p.first, p.second
	if err := os.Mkdir(p.second.dir, 0o755); err != nil {
		return nil, err
	}

	server, err := process.PrepareStandby(ctx, p.second.dir, standby, primary, c.guard, postgresFlags...)
	if err != nil {
		return nil, err
	}
	p.second.Service = process.NewService(server, c.guard)
	c.databaseURL = c.postgresURL(primary + "," + standby)
	if err := c.startServices(ctx, p.second.Service); err != nil {
		return p, err
	}
	return p, p.confirmCommits(ctx)
}

// failOver kills the primary. To heal promotes the standby, and makes a new
// standby in the place of the killed server.
func (p *standbyPair) failOver(ctx context.Context) (promote func() error, err error) {
	p.primary.Kill()
	return func() error {
		if ctx.Err() != nil {
			return nil // an interrupted run needs no database
		}
		ctx, cancel := context.WithTimeout(ctx, promotedWithin)
		defer cancel()
		if err := p.promote(ctx); err != nil {
			return fmt.Errorf("promote the standby: %w", err)
		}
		if err := p.replaceStandby(ctx); err != nil {
			return fmt.Errorf("make a new standby: %w", err)
		}
		return nil
	}, nil
}

// promote makes a primary of the standby, which then confirms its commits
// alone.
func (p *standbyPair) promote(ctx context.Context) error {
	at := p.follow.address
	for _, sql := range []string{"ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()", "SELECT pg_promote(false)"} {
		if _, err := process.PostgresDo(ctx, at, sql); err != nil {
			return err
		}
	}
	p.primary, p.follow = p.follow, p.primary
	return awaitAnswer(ctx, at, "SELECT pg_is_in_recovery()", "f")
}

// replaceStandby copies the primary into the folder of the server that was
// killed, and starts it.
func (p *standbyPair) replaceStandby(ctx context.Context) error {
	for _, old := range []string{process.PostgresHome(p.follow.dir), p.follow.dir + "/wal"} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}

	// The service has the same command already.
	_, err := process.PrepareStandby(ctx, p.follow.dir, p.follow.address, p.primary.address, p.city.guard, postgresFlags...)
	if err != nil {
		return err
	}
	p.follow.Revive()
	if err := p.follow.AwaitReady(ctx); err != nil {
		return err
	}
	return p.confirmCommits(ctx)
}

// confirmCommits makes each commit of the primary wait for the standby, and
// returns when it does.
func (p *standbyPair) confirmCommits(ctx context.Context) error {
	for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if _, err := process.PostgresDo(ctx, p.primary.address, sql); err != nil {
			return err
		}
	}
	return awaitAnswer(ctx, p.primary.address, "SELECT sync_state FROM pg_stat_replication", "sync")
}

// awaitAnswer asks a Postgres until it answers with a value.
func awaitAnswer(ctx context.Context, address, sql, want string) error {
	for {
		got, err := process.PostgresDo(ctx, address, sql)
		if err == nil && got == want {
			return nil
		}
		if !sleep.For(ctx, lookEvery) {
			return fmt.Errorf("%s answers %q instead of %q (%v): %w", sql, got, want, err, context.Cause(ctx))
		}
	}
}
