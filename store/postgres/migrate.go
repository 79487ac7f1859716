package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/migrations"
)

const (
	migrateWithin = 5 * time.Minute
	askLockEvery  = 500 * time.Millisecond // at most
)

// Migrate brings the database's schema up to date. It refuses a server that
// only reads, a database of another program, and a schema that a newer version
// wrote. Many nodes may call it at once: one of them works, and the others wait
// and find nothing left to do.
func Migrate(ctx context.Context, url string) error {
	s, err := inspectServer(ctx, url)
	if err != nil {
		return err
	}
	if err := cmp.Or(s.checkWritable(), s.checkSchema(true)); err != nil {
		return err
	}
	if s.checkSchema(false) == nil {
		return nil
	}

	ctx, cancel := context.WithTimeoutCause(ctx, migrateWithin, fmt.Errorf("not within %v", migrateWithin))
	defer cancel()
	if err := s.migrateAlone(ctx); err != nil {
		return explainError(s.config.ConnConfig, fmt.Errorf("migrate the schema: %w", err))
	}
	return nil
}

// migrateAlone applies what is missing while it holds the lock.
func (s *server) migrateAlone(ctx context.Context) (err error) {
	unlock, err := s.lockMigrations(ctx)
	if err != nil {
		return err
	}
	defer unlock()

	db := stdlib.OpenDB(*s.config.ConnConfig)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// lockMigrations waits for the lock that keeps two programs from migrating at
// once. A transaction on a connection of its own holds it, because a pooler
// would hand a session's lock to another client. Those who wait ask again and
// again, so that they do not take the connections of a small pooler. Earlier
// builds hold the same lock by a session.
func (s *server) lockMigrations(ctx context.Context) (unlock func(), err error) {
	conn, err := pgx.ConnectConfig(ctx, s.config.ConnConfig)
	if err != nil {
		return nil, err
	}
	unlock = func() { conn.Close(context.WithoutCancel(ctx)) }

	for {
		isMine, err := tryLock(ctx, conn)
		if err == nil && isMine {
			return unlock, nil
		}
		if err == nil && !sleep.For(ctx, rand.N(askLockEvery)) {
			err = context.Cause(ctx)
		}
		if err != nil {
			unlock()
			return nil, err
		}
	}
}

// tryLock begins a transaction that holds the lock, and returns false when
// another one does.
func tryLock(ctx context.Context, conn *pgx.Conn) (isMine bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}

	// The role may limit what is meant to wait here.
	_, err = tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, lock.DefaultLockID).Scan(&isMine)
	}
	if err != nil || !isMine {
		err = errors.Join(err, tx.Rollback(ctx))
	}
	return isMine, err
}
