// Package scratch makes databases and nodes that live for one run of an
// experiment, so that no table, trip or lease of a running node is touched.
package scratch

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/store"
)

const closeWithin = 5 * time.Second

// Database is an empty database for one run.
type Database struct {
	URL  string // as store.Open takes it
	Part finding.Part

	drop func() error
}

// Create makes a SQLite file in a temporary folder, or a database of its own on
// the Postgres server that a URL names. Close removes it. Errors about the URL
// wrap finding.ErrUsage or finding.ErrUnreachable.
func Create(ctx context.Context, address string) (*Database, error) {
	if address == "" {
		dir, err := os.MkdirTemp("", "ridehail-lab-")
		if err != nil {
			return nil, err
		}
		return &Database{URL: filepath.Join(dir, "lab.db"), Part: finding.Part{Name: "SQLite", Where: "a file of this run"},
			drop: func() error { return os.RemoveAll(dir) }}, nil
	}

	at, err := url.Parse(address)
	if err != nil || !store.IsPostgres(address) {
		return nil, fmt.Errorf("%w: --database: want postgres://USER@HOST/NAME", finding.ErrUsage)
	}
	server, err := sql.Open("pgx", address)
	if err != nil {
		return nil, fmt.Errorf("%w: --database: %w", finding.ErrUsage, err)
	}

	name := "ridehail_lab_" + strings.ToLower(rand.Text())
	if _, err := server.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		why := strings.Join(strings.Fields(err.Error()), " ") // pgx writes a line for each address
		return nil, errors.Join(fmt.Errorf("%w: --database: a run makes a database of its own, which its user must be allowed to: %s",
			finding.ErrUnreachable, why), server.Close())
	}

	at.Path = "/" + name
	return &Database{URL: at.String(), Part: finding.Part{Name: "Postgres", Where: at.Host}, drop: func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		_, err := server.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		return errors.Join(err, server.Close())
	}}, nil
}

// OpenSQL opens the database for an experiment's own SQL, beside a store.
func (d *Database) OpenSQL() (*sql.DB, error) {
	if store.IsPostgres(d.URL) {
		return sql.Open("pgx", d.URL)
	}

	db, err := sql.Open("sqlite", "file:"+d.URL+"?_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)")
	if err == nil {
		// A file has one writer. More connections would wait for each other.
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// Close removes the database. What uses it must have been closed.
func (d *Database) Close() error { return d.drop() }
