package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/ridehail/ridehail/lab/process"
)

// preparePostgres makes a database cluster. Its tables are on a disk that can
// be filled, if one can be mounted.
func (c *city) preparePostgres(ctx context.Context, address string) error {
	server, err := process.PreparePostgres(ctx, c.dir, address, c.guard, func(home string, owner *syscall.Credential) {
		var err error
		if c.disk, err = mountDisk(home, owner); err != nil {
			c.unavailable[FullDisk] = err.Error()
		}
	}, "-c", "max_connections=200")
	if err != nil {
		return err
	}
	c.postgres = process.NewService(server, c.guard)
	return nil
}

func (c *city) prepareRedis(address string) error {
	server, err := process.PrepareRedis(c.dir, address, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
	if err != nil {
		return err
	}
	c.redis = process.NewService(server, c.guard)
	return nil
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
