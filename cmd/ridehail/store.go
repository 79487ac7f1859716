package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/trips"
)

// database is everything a node keeps, on either engine.
type database interface {
	trips.Store
	trips.Outbox
	chat.Store
	payments.Store
	payments.Refunds
	sos.Store
	audit.Source
	Ping(ctx context.Context) error
}

var (
	_ database = (*postgres.Store)(nil)
	_ database = (*sqlite.Store)(nil)
)

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// openDatabase opens postgres://… or a SQLite file, and brings its schema up to date. Close it with closeIt.
func openDatabase(ctx context.Context, url string) (db database, closeIt func() error, err error) {
	if isPostgres(url) {
		if err := postgres.Migrate(ctx, url); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errUnreachable, err)
		}
		s, err := postgres.Open(ctx, url, postgres.Options{})
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errUnreachable, err)
		}
		return s, func() error { s.Close(); return nil }, nil
	}
	if strings.Contains(url, "://") {
		return nil, nil, fmt.Errorf("%w: --database is postgres://… or a file, not %q", errUsage, url)
	}
	if err := makeFolderOf(url); err != nil {
		return nil, nil, err
	}
	s, err := sqlite.Open(ctx, url, sqlite.Options{})
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

// together is a database's way to say how things stand for many phones at once; nil if it has none.
func together(db database) func(context.Context, []trips.Asker) ([]trips.Standing, map[trips.TripID]payments.Charge, error) {
	if t, wrapped := db.(telling); wrapped {
		db = t.database
	}
	if s, can := db.(*postgres.Store); can {
		return s.Standings
	}
	return nil
}

func makeFolderOf(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("the folder of %s: %w", file, err)
	}
	return nil
}

// telling is a database that tells the relay of each commit, so that nobody waits for its next look.
type telling struct {
	database
	wake func()
}

func (t telling) Apply(ctx context.Context, m trips.Move) (trips.Event, error) {
	defer t.wake()
	return t.database.Apply(ctx, m)
}

func (t telling) Append(ctx context.Context, m chat.Message, region string) (chat.Message, error) {
	defer t.wake()
	return t.database.Append(ctx, m, region)
}

func (t telling) Settle(ctx context.Context, c payments.Charge) (payments.Charge, error) {
	defer t.wake()
	return t.database.Settle(ctx, c)
}

func (t telling) KeepAlert(ctx context.Context, a sos.Alert) (sos.Alert, error) {
	defer t.wake()
	return t.database.KeepAlert(ctx, a)
}

func (t telling) AckAlert(ctx context.Context, id string, at time.Time) (sos.Alert, error) {
	defer t.wake()
	return t.database.AckAlert(ctx, id, at)
}
