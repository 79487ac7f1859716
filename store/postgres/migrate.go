package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/ridehail/ridehail/migrations"
)

// Migrate brings the database's schema up to date. Many nodes may call it at
// once: one of them takes a session lock and works. The others ask for the lock
// once a second, for at most five minutes, and find nothing left to do.
func Migrate(ctx context.Context, url string) (err error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("postgres address: %w", err)
	}

	cfg.ConnectTimeout = dialTimeout
	db := stdlib.OpenDB(*cfg)
	defer func() {
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}()

	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 5))
	if err != nil {
		return fmt.Errorf("migration lock: %w", err)
	}

	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema: %w", err)
	}

	return nil
}
