package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridehail/ridehail/internal/sleep"

	"github.com/ridehail/ridehail/tracing"
)

// maxTries bounds how often a write is sent. The waits between the tries, with
// full jitter, come to 1.3 s at most.
const (
	maxTries     = 8
	firstBackoff = 10 * time.Millisecond
)

// readOnlyTries bounds how often a write is sent to servers that only read. The
// first answer may come from a session of an old primary. Those that follow come
// from new sessions.
const readOnlyTries = 3

// database is the server as all parts of a store use it.
type database struct {
	pool      *pgxpool.Pool
	config    *pgx.ConnConfig
	sessions  *sessionPool
	tracer    *tracing.Tracer // nil: no hop is recorded
	nextWrite atomic.Int64    // of CheckWritable, in nanoseconds of sinceStart
}

// Now returns the server's time. It asks once and waits at most a second.
func (db *database) Now(ctx context.Context) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err = db.read(ctx, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&at)
	})
	if err != nil {
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

	var all []T
	err := db.read(ctx, func(ctx context.Context) error {
		rows, err := db.pool.Query(ctx, sql, args...)
		if err == nil {
			all, err = pgx.CollectRows(rows, scan)
		}
		return err
	})
	if isNotText(err) {
		return nil, nil // no row can have it
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// read runs a read, and once more if its session was lost: the server may have
// ended it while it was idle.
func (db *database) read(ctx context.Context, query func(context.Context) error) error {
	err := query(ctx)
	db.sessions.noteLoss(err)
	if err != nil && ctx.Err() == nil && wasSessionLost(err) {
		err = query(ctx)
	}
	return err
}

// wasSessionLost returns whether an error is that of a session that ended, and
// not of a server that cannot be reached.
func wasSessionLost(err error) bool {
	if refusal := new(pgconn.PgError); errors.As(err, &refusal) {
		return losesSession(refusal)
	}
	reset := new(net.OpError)
	return !errors.As(err, new(*pgconn.ConnectError)) &&
		(errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &reset) && !reset.Timeout())
}

// isNotText returns true if the server refuses an argument because it has a NUL
// or is not UTF-8.
func isNotText(err error) bool {
	refusal := new(pgconn.PgError)
	return errors.As(err, &refusal) && refusal.Code == notText
}

// retryWrite sends a write until the server has answered. The write must be
// safe to repeat.
func (db *database) retryWrite(ctx context.Context, write func(context.Context) error) error {
	for try := 1; ; try++ {
		err := db.tryWrite(ctx, write)
		if err == nil || errors.Is(err, pgx.ErrNoRows) || try == maxTries || isFinal(ctx, err, try) || !sleepBefore(ctx, try) {
			return err
		}
	}
}

// tryWrite sends a write once, within answerTimeout.
func (db *database) tryWrite(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := write(ctx)
	db.sessions.noteLoss(err)
	return err
}

// isFinal reports whether sending again cannot help after some tries.
func isFinal(ctx context.Context, err error, tries int) bool {
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
	case readOnlyTransaction:
		return tries >= readOnlyTries
	}

	switch refusal.Code[:2] {
	case "40", "53", "57", "58":
		// Trouble of serialization, resources, operator or system.
		return false
	}

	return !losesSession(refusal)
}

// sleepBefore waits before the next try: not at all before the first, then ever
// longer. It returns false when ctx ended.
func sleepBefore(ctx context.Context, try int) bool {
	if try == 0 {
		return ctx.Err() == nil
	}
	return sleep.For(ctx, rand.N(firstBackoff<<(try-1)))
}
