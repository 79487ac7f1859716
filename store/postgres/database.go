package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridehail/ridehail/internal/sleep"
)

// maxTries bounds how often a write is sent. The waits between the tries, with
// full jitter, come to 1.3 s at most.
const (
	maxTries     = 8
	firstBackoff = 10 * time.Millisecond
)

// Codes of the server's errors after which a move is tried again.
const (
	characterNotInRepertoire = "22021"
	uniqueViolation          = "23505" // readOutcome finds out what was taken
	lockNotAvailable         = "55P03" // it waited too long for a lock
)

// database is the server as all parts of a store use it.
type database struct {
	pool *pgxpool.Pool
}

// checkSchema returns an error if the server does not answer or has no schema.
func (db *database) checkSchema(ctx context.Context) error {
	if err := db.CheckWritable(ctx); err != nil {
		return err
	}

	var exists bool
	if err := db.pool.QueryRow(ctx, `SELECT to_regclass('outbox') IS NOT NULL`).Scan(&exists); err != nil {
		return fmt.Errorf("postgres schema: %w", err)
	}
	if !exists {
		return fmt.Errorf("postgres: the database has no schema yet; run `ridehail migrate` on it")
	}
	return nil
}

// CheckWritable returns an error unless the server answers within a second.
func (db *database) CheckWritable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := db.pool.Ping(ctx); err != nil {
		return fmt.Errorf("postgres does not answer: %w", err)
	}
	return nil
}

// Now returns the server's time. It asks once and waits at most a second.
func (db *database) Now(ctx context.Context) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := db.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&at); err != nil {
		return at, fmt.Errorf("postgres time: %w", err)
	}
	return at, nil
}

// CountTransactions returns how many transactions the server has ended in this
// database since its last crash. Each session reports its own about once a
// second.
func (db *database) CountTransactions(ctx context.Context) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	const ask = `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`
	if err := db.pool.QueryRow(ctx, ask).Scan(&n); err != nil {
		return 0, fmt.Errorf("postgres transactions: %w", err)
	}
	return n, nil
}

// queryAll reads all rows of a query. Its errors begin with what was asked.
func queryAll[T any](ctx context.Context, db *database, what string, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	rows, err := db.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}

	all, err := pgx.CollectRows(rows, scan)
	if isNotText(err) {
		return nil, nil // no row can have it
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// isNotText returns true if the server refuses an argument because it has a NUL
// or is not UTF-8.
func isNotText(err error) bool {
	refusal := new(pgconn.PgError)
	return errors.As(err, &refusal) && refusal.Code == characterNotInRepertoire
}

// retryWrite sends a write until the server has answered. The write must be
// safe to repeat.
func (db *database) retryWrite(ctx context.Context, write func(context.Context) error) error {
	for try := 1; ; try++ {
		err := db.tryWrite(ctx, write)
		if err == nil || errors.Is(err, pgx.ErrNoRows) || try == maxTries || isFinal(ctx, err) || !sleepBefore(ctx, try) {
			return err
		}
	}
}

// tryWrite sends a write once, within answerTimeout.
func (db *database) tryWrite(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return write(ctx)
}

// isFinal reports whether sending again cannot help.
func isFinal(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, errClosed) {
		return true
	}

	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) {
		return false
	}

	switch refusal.Code {
	case uniqueViolation, lockNotAvailable:
		return false
	}

	switch refusal.Code[:2] {
	case "08", "40", "53", "57", "58":
		// Trouble of connection, serialization, resources, operator or system.
		return false
	}

	return true
}

// sleepBefore waits before the next try: not at all before the first, then ever
// longer. It returns false when ctx ended.
func sleepBefore(ctx context.Context, try int) bool {
	if try == 0 {
		return ctx.Err() == nil
	}
	return sleep.For(ctx, rand.N(firstBackoff<<(try-1)))
}
