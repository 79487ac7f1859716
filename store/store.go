// Package store names everything that a node keeps, and opens it on either
// engine: Postgres for many nodes, a SQLite file for one. The contracts are
// declared by the packages of the domain; postgres and sqlite below keep them,
// and storetest holds both to the same promises.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// Store is everything a node keeps, on either engine. All methods may be called
// from many goroutines.
type Store interface {
	trips.Store
	trips.Outbox
	chat.Store
	payments.Store
	payments.RefundStore
	sos.Store
	audit.Source
	// ResumeStates answers each query, in their order, and returns the charges
	// of the trips whose state is Paid. A query that finds no trip gets a zero
	// state. Without queries it returns none. The states of one call are read
	// in one snapshot.
	ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
		states []trips.ResumeState, receipts map[trips.TripID]payments.Charge, err error)
	// CheckWritable returns an error when nothing can be committed just now.
	CheckWritable(ctx context.Context) error
}

var (
	_ Store = (*postgres.Store)(nil)
	_ Store = (*sqlite.Store)(nil)
)

// The two ways in which a database cannot be opened that a caller must tell
// apart; the wrapping error says what to do.
var (
	ErrUsage       = errors.New("bad usage")
	ErrUnreachable = errors.New("a service cannot be reached or cannot serve")
)

// IsPostgres says whether a database URL names a Postgres server; any other
// name is a SQLite file.
func IsPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// isFile says whether a database URL names a SQLite file.
func isFile(url string) bool { return !strings.Contains(url, "://") }

// Options are all optional, and count for Postgres only.
type Options struct {
	MaxConns int             // connections to the server at once; zero: what the URL says, or 16
	Log      *slog.Logger    // nil: slog.Default
	Tracer   *tracing.Tracer // nil: no hop is recorded
}

// PoolStats are the connections of a store on Postgres.
type PoolStats = postgres.PoolStats

// Pooled is a store that has a pool of connections.
type Pooled interface{ PoolStats() PoolStats }

// Open opens postgres://… or a SQLite file and brings its schema up to date.
// The caller calls closeStore when it is done. Errors wrap ErrUsage or
// ErrUnreachable.
func Open(ctx context.Context, url string, opts Options) (s Store, closeStore func() error, err error) {
	if err := checkName(url); err != nil {
		return nil, nil, err
	}
	if err := createFolder(url); err != nil {
		return nil, nil, err
	}
	if err := Migrate(ctx, url); err != nil {
		return nil, nil, err
	}
	return openMigrated(ctx, url, opts)
}

// OpenExisting opens a database that must have this program's schema already.
// It creates and migrates nothing. Its errors are those of Open.
func OpenExisting(ctx context.Context, url string) (s Store, closeStore func() error, err error) {
	if err := checkName(url); err != nil {
		return nil, nil, err
	}
	if !IsPostgres(url) {
		if err := sqlite.CheckSchema(ctx, url); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrUsage, err)
		}
	}
	return openMigrated(ctx, url, Options{MaxConns: 2})
}

// OpenReadOnly opens a database for an audit, and changes nothing. It may be in
// use, and on Postgres it may be a standby. Its errors are those of Open.
func OpenReadOnly(ctx context.Context, url string) (src audit.Source, closeSource func() error, err error) {
	if err := checkName(url); err != nil {
		return nil, nil, err
	}
	if IsPostgres(url) {
		r, err := postgres.OpenReader(ctx, url)
		if err != nil {
			return nil, nil, markPostgres(err)
		}
		return r, func() error { r.Close(); return nil }, nil
	}

	r, err := sqlite.OpenReader(ctx, url)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return r, r.Close, nil
}

// Migrate brings the schema of a database up to date. Its errors are those of
// Open.
func Migrate(ctx context.Context, url string) error {
	if err := checkName(url); err != nil {
		return err
	}
	if IsPostgres(url) {
		return markPostgres(postgres.Migrate(ctx, url))
	}
	if err := sqlite.Migrate(ctx, url); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}

// checkName refuses the URLs of other databases.
func checkName(url string) error {
	switch {
	case url == "":
		return fmt.Errorf("%w: --database is empty; name postgres://… or a file", ErrUsage)
	case !IsPostgres(url) && !isFile(url):
		return fmt.Errorf("%w: --database is postgres://… or a file, not %q", ErrUsage, url)
	}
	return nil
}

func createFolder(url string) error {
	if IsPostgres(url) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(url), 0o755); err != nil {
		return fmt.Errorf("%w: the folder of %s: %w", ErrUnreachable, url, err)
	}
	return nil
}

// openMigrated opens a database that has this program's schema.
func openMigrated(ctx context.Context, url string, opts Options) (Store, func() error, error) {
	if IsPostgres(url) {
		db, err := postgres.Open(ctx, url, postgres.Options{MaxConns: opts.MaxConns, Log: opts.Log, Tracer: opts.Tracer})
		if err != nil {
			return nil, nil, markPostgres(err)
		}
		return db, func() error { db.Close(); return nil }, nil
	}

	db, err := sqlite.Open(ctx, url, sqlite.Options{Tracer: opts.Tracer})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return db, db.Close, nil
}

// markPostgres tells a wrong address from a server that cannot serve.
func markPostgres(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, postgres.ErrAddress):
		return fmt.Errorf("%w: --database: %w", ErrUsage, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
