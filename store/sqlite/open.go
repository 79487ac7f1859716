// Package sqlite keeps everything of a node in one SQLite file, for a city that
// runs on one machine and needs nothing installed. It alone speaks its SQL.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite", pure Go

	"github.com/ridehail/ridehail/tracing"
)

// Options say how a store keeps its file. The zero value is safe.
type Options struct {
	// Relaxed leaves it to the operating system when a commit reaches the disk:
	// faster, most of all when few write at once, and a power cut may take the
	// last commits. A crash of the program takes none either way.
	Relaxed bool
	Tracer  *tracing.Tracer // nil: no hop is recorded
}

// Store is one SQLite file. Each of its parts keeps one contract; see
// store.Store. All methods may be called from many goroutines. Writes go
// through one connection, many in one commit; reads run beside them.
type Store struct {
	*database
	tripStore
	outboxStore
	chatStore
	chargeStore
	refundStore
	alertStore
	auditSource
	resumeReader
}

// database is the file as all parts of a store use it.
type database struct {
	path    string
	readers *sql.DB
	read    *statements
	writer  *writer
	tracer  *tracing.Tracer // nil: no hop is recorded
}

// Open opens the file, creates it if there is none, and brings its schema up to
// date. The folder must exist. The store must be closed.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if err := Migrate(ctx, path); err != nil {
		return nil, err
	}

	mode := "&_synchronous=FULL"
	if o.Relaxed {
		mode = "&_synchronous=NORMAL"
	}

	w, err := openWriter(ctx, path, dataSourceName(path, writing+tuned+mode), o.Tracer)
	if err != nil {
		return nil, explainError(path, err)
	}

	readers, err := sql.Open("sqlite", dataSourceName(path, "mode=rw&_query_only=1"))
	if err != nil {
		return nil, errors.Join(explainError(path, err), w.close())
	}

	n := max(4, runtime.GOMAXPROCS(0))
	readers.SetMaxOpenConns(n)
	readers.SetMaxIdleConns(n)

	db := &database{path: path, readers: readers, read: newStatements(path, readers), writer: w, tracer: o.Tracer}
	return &Store{
		database:     db,
		tripStore:    tripStore{db},
		outboxStore:  outboxStore{db},
		chatStore:    chatStore{db},
		chargeStore:  chargeStore{db},
		refundStore:  refundStore{db},
		alertStore:   alertStore{db},
		auditSource:  auditSource{db},
		resumeReader: resumeReader{db},
	}, nil
}

// Close waits for the writes under way and closes the file. Later writes fail
// with ErrClosed.
func (db *database) Close() error {
	return errors.Join(db.read.closeAll(), db.readers.Close(), db.writer.close())
}

// CheckWritable returns an error unless the store can be read and a write can be
// committed now. It writes one row as it was. A full disk shows only when the
// log must grow for that.
func (db *database) CheckWritable(ctx context.Context) error {
	var cursor int64
	if err := db.read.queryOne(ctx, `SELECT cursor_id FROM relay_shards`, nil, &cursor); err != nil {
		return fmt.Errorf("check that the store can be written: %w", err)
	}
	_, err := writeCommitted(ctx, db, func(tx *statements) (int64, error) {
		return tx.exec(ctx, `UPDATE relay_shards SET cursor_id = cursor_id`)
	})
	return err
}

const (
	always  = "_busy_timeout=5000&_error_rc=1&_dqs=0&"
	writing = "_journal_mode=WAL&_foreign_keys=1"
	// Random ids touch many pages: 64 MiB of them stay in memory, they go from
	// the log into the file 16 MiB at a time, and what a savepoint would
	// restore is not written to a temporary file.
	tuned = "&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(4096)&_pragma=temp_store(MEMORY)"
)

// dataSourceName returns the name of a file as the driver takes it.
func dataSourceName(path, options string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path // the working folder is gone: opening will say so
	}

	slashed := filepath.ToSlash(abs)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/...
	}

	u := url.URL{Scheme: "file", OmitHost: true, Path: slashed, RawQuery: always + options}
	return u.String()
}
