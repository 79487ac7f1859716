package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ridehail/ridehail/migrations"
)

// Reader reads a whole file for an audit, and changes nothing. A node may write
// meanwhile.
type Reader struct {
	auditSource
	outbox outboxStore

	// Of a file that no program had open; nil: a node writes.
	still os.FileInfo
}

// OpenReader opens a file that has this program's schema. Close the reader when
// nothing uses it any more.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	still, err := inspectExisting(path)
	if err != nil {
		return nil, err
	}

	mode := "mode=ro&_query_only=1"
	if still != nil {
		// Without a log there is nothing to look up in it. SQLite would
		// create one even to read, and leave it behind.
		mode += "&immutable=1"
	}
	readers, err := sql.Open("sqlite", dataSourceName(path, mode))
	if err != nil {
		return nil, explainError(path, err)
	}
	if err := checkSchema(ctx, readers, path); err != nil {
		return nil, errors.Join(explainError(path, err), readers.Close())
	}

	db := &database{path: path, readers: readers, read: newStatements(path, readers)}
	return &Reader{auditSource{db}, outboxStore{db}, still}, nil
}

// CheckSchema returns an error unless the file is there and has this program's
// schema. It changes nothing.
func CheckSchema(ctx context.Context, path string) error {
	r, err := OpenReader(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(r.read.closeAll(), r.readers.Close())
}

// inspectExisting refuses what is no file with something in it. It returns what
// the system says of a file that no program writes, and nil when there is a log
// beside it.
func inspectExisting(path string) (still os.FileInfo, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("no database: %w", err)
	case info.IsDir():
		return nil, folderError(path)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty: name another file, or run `ridehail migrate` on it", path)
	}

	if _, err := os.Stat(path + "-wal"); err == nil {
		return nil, nil
	}
	return info, nil
}

// checkSchema returns an error that says what to do, unless the file has this
// program's schema.
func checkSchema(ctx context.Context, db *sql.DB, path string) error {
	look, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = look.Rollback() }() // it only read

	ours, err := isOurs(ctx, look, path)
	if err != nil {
		return err
	}
	var version int64
	if ours {
		// The table is there unless the file was made and not migrated.
		err = look.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&version)
		if err != nil {
			return fmt.Errorf("%s has no schema yet: run `ridehail migrate` on it (%w)", path, err)
		}
	}

	newest := migrations.SQLiteVersion
	switch {
	case version > newest:
		return newerSchemaError(path, version, newest)
	case version < newest:
		return fmt.Errorf("%s has schema version %d, this program needs %d: run `ridehail migrate` on it", path, version, newest)
	}
	return nil
}

// Backlog counts messages that are not relayed yet; see trips.Outbox.
func (r *Reader) Backlog(ctx context.Context) (n int, oldest time.Time, err error) {
	return r.outbox.Backlog(ctx)
}

// Close closes the file. It returns an error if a node began to write to a file
// that was still when it was opened: then what was read may be torn.
func (r *Reader) Close() error {
	err := errors.Join(r.read.closeAll(), r.readers.Close())
	if err != nil || r.still == nil {
		return err
	}

	now, err := os.Stat(r.path)
	if err == nil && (now.Size() != r.still.Size() || !now.ModTime().Equal(r.still.ModTime())) {
		err = fmt.Errorf("%s was written to for the first time while it was read: run this again", r.path)
	}
	return err
}
