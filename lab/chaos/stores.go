package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/ridehail/ridehail/lab/process"
)

// postgresFlags are those of every server.
var postgresFlags = []string{"-c", "max_connections=200"}

// roleTimeouts are what a node cannot set for a session behind PgBouncer.
var roleTimeouts = []string{"lock_timeout = '2s'", "statement_timeout = '3s'", "idle_in_transaction_session_timeout = '10s'"}

// startStores starts Postgres and Redis and returns where the nodes' lines to
// them lead.
func (c *city) startStores(ctx context.Context) (ends map[Line][]string, err error) {
	at, err := process.FreeAddresses(4)
	if err != nil {
		return nil, err
	}
	if err := c.startPostgres(ctx, at[0]); err != nil {
		return nil, err
	}
	ends = map[Line][]string{LinePostgres: {at[0]}}

	switch c.cfg.Database {
	case PostgresPgBouncer:
		ends[LinePostgres] = at[1:2]
		err = c.startPgBouncer(ctx, at[1], at[0])
	case PostgresStandby:
		ends[LinePostgres] = at[:2]
		c.standby, err = c.startStandby(ctx, at[0], at[1])
	}
	if err != nil {
		return nil, err
	}

	if c.cfg.Redis == RedisCluster {
		c.cluster, err = process.StartRedisCluster(ctx, c.dir, c.guard, masters, 1, redisFlags...)
		if err == nil {
			c.redisAddresses = c.cluster.Addresses()
		}
		return ends, err
	}
	ends[LineRedis], c.redisAddresses = at[3:], at[3:]
	return ends, c.startRedis(ctx, at[3])
}

// startPostgres starts a new server. Its tables are on a disk that can be
// filled, if one can be mounted, and if the tables stay there.
func (c *city) startPostgres(ctx context.Context, address string) error {
	onHome := func(home string, owner *syscall.Credential) {
		var err error
		if c.disk, err = mountDisk(home, owner); err != nil {
			c.unavailable[FullDisk] = err.Error()
		}
	}
	if c.cfg.Database == PostgresStandby {
		onHome = nil
	}

	server, err := process.PreparePostgres(ctx, c.dir, address, c.guard, onHome, postgresFlags...)
	if err != nil {
		return err
	}
	c.postgres, c.databaseURL = process.NewService(server, c.guard), c.postgresURL(address)
	return c.startServices(ctx, c.postgres)
}

func (c *city) startPgBouncer(ctx context.Context, address, postgres string) error {
	for _, limit := range roleTimeouts {
		if _, err := process.PostgresDo(ctx, postgres, "ALTER ROLE postgres SET "+limit); err != nil {
			return err
		}
	}

	// Without the option it waits 15 s after a Postgres that was away.
	server, err := process.PreparePgBouncer(c.dir, address, postgres, "server_login_retry = 1", "default_pool_size = 50")
	if err != nil {
		return err
	}
	c.bouncer = process.NewService(server, c.guard)
	return c.startServices(ctx, c.bouncer)
}

// postgresURL is the address of servers of which one takes writes.
func (c *city) postgresURL(addresses string) string {
	url := process.PostgresURL(addresses)
	if strings.Contains(addresses, ",") {
		url += "&target_session_attrs=read-write"
	}
	return url
}

// listStores returns the services that keep data, or stand before them.
func (c *city) listStores() (out []*process.Service) {
	for _, s := range []*process.Service{c.redis, c.bouncer, c.postgres} {
		if s != nil {
			out = append(out, s)
		}
	}
	if c.standby != nil {
		out = append(out, c.standby.second.Service)
	}
	return out
}

// stopStores stops them in this order, so that a primary of Postgres has its
// standby for as long as it needs it. Postgres calls this its fast shutdown.
func (c *city) stopStores() error {
	var errs []error
	for _, s := range c.listStores() {
		errs = append(errs, s.Stop(stopWithin))
	}
	if c.cluster != nil {
		errs = append(errs, c.cluster.Close())
	}
	return errors.Join(errs...)
}

// fillDisk leaves no room for the tables to grow. Postgres may end because of
// that, which is no violation.
func (c *city) fillDisk() (empty func() error, err error) {
	c.postgres.SetExcused(true)
	return func() error {
		defer c.postgres.SetExcused(false)
		return c.disk.empty()
	}, c.disk.fill()
}

// keepDatabase moves the data from the disk to a folder that stays.
func (c *city) keepDatabase() error {
	if c.disk == nil {
		return nil
	}
	saved := c.dir + "/saved"
	if err := os.CopyFS(saved, os.DirFS(c.disk.dir)); err != nil {
		return fmt.Errorf("keep the database: %w", err)
	}
	if err := c.disk.close(); err != nil {
		return err
	}
	return errors.Join(os.Remove(c.disk.dir), os.Rename(saved, c.disk.dir))
}
