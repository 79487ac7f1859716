// Package store names everything that a node keeps, and opens it on either
// engine: Postgres for many nodes, a SQLite file for one. The contracts are
// declared by the packages of the domain; postgres and sqlite below keep them,
// and storetest holds both to the same promises.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/store/sqlite"
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
	ErrUnreachable = errors.New("a service could not be reached")
)

// IsPostgres says whether a database URL names a Postgres server; any other
// name is a SQLite file.
func IsPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// isFile says whether a database URL names a SQLite file.
func isFile(url string) bool { return !strings.Contains(url, "://") }

// Open opens postgres://… or a SQLite file and brings its schema up to date.
// The caller calls closeStore when it is done. Errors wrap ErrUsage or
// ErrUnreachable.
func Open(ctx context.Context, url string) (s Store, closeStore func() error, err error) {
	if IsPostgres(url) {
		return openPostgres(ctx, url)
	}
	if !isFile(url) {
		return nil, nil, fmt.Errorf("%w: --database is postgres://… or a file, not %q", ErrUsage, url)
	}

	if err := os.MkdirAll(filepath.Dir(url), 0o755); err != nil {
		return nil, nil, fmt.Errorf("the folder of %s: %w", url, err)
	}

	db, err := sqlite.Open(ctx, url, sqlite.Options{})
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

func openPostgres(ctx context.Context, url string) (Store, func() error, error) {
	if err := postgres.Migrate(ctx, url); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	db, err := postgres.Open(ctx, url, postgres.Options{})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return db, func() error { db.Close(); return nil }, nil
}

// Migrate brings the schema of a database up to date.
func Migrate(ctx context.Context, url string) error {
	if IsPostgres(url) {
		return postgres.Migrate(ctx, url)
	}
	return sqlite.Migrate(ctx, url)
}
