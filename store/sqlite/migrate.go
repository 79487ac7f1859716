package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"github.com/ridehail/ridehail/migrations"
)

// applicationID marks a file as ours in its header: "RIDE".
const applicationID = 0x52494445

// Migrate creates the file if there is none and brings its schema up to date.
// It refuses a file of another program and a file that a newer version wrote.
func Migrate(ctx context.Context, path string) error {
	if err := applyMigrations(ctx, path); err != nil {
		return explainError(path, err)
	}
	return nil
}

func applyMigrations(ctx context.Context, path string) error {
	ours, err := inspectFile(ctx, path)
	if err != nil {
		return err
	}

	db, err := sql.Open("sqlite", dataSourceName(path, writing))
	if err != nil {
		return err
	}
	defer db.Close()

	if !ours {
		if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return err
		}
	}

	p, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.SQLite, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the embedded schema: %w", err)
	}

	return retryMigrations(ctx, p, path)
}

// retryMigrations applies what is missing. If another program migrates the same
// file at this moment, a step of ours may fail; it tries again as long as the
// schema version rises.
func retryMigrations(ctx context.Context, p *goose.Provider, path string) error {
	newest := migrations.SQLiteVersion
	for last := int64(-2); ; {
		version, err := p.GetDBVersion(ctx)
		switch {
		case err != nil:
			version = -1
		case version > newest:
			return newerSchemaError(path, version, newest)
		default:
			_, err = p.Up(ctx)
		}

		if err == nil {
			return nil
		}
		if version <= last {
			return fmt.Errorf("bring the schema of %s up to date: %w", path, err)
		}

		last = version
	}
}

// inspectFile reads the header of a file before anything is written to it. It
// returns whether the file is ours, false for a new one, and an error for a
// file of another program.
func inspectFile(ctx context.Context, path string) (ours bool, err error) {
	if info, err := os.Stat(path); errors.Is(err, os.ErrNotExist) || (err == nil && info.Size() == 0) {
		return false, nil
	} else if err == nil && info.IsDir() {
		return false, folderError(path)
	}

	db, err := sql.Open("sqlite", dataSourceName(path, "mode=rw"))
	if err != nil {
		return false, err
	}
	defer db.Close()

	// One transaction, because another program may be creating the schema
	// right now.
	look, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = look.Rollback() }() // it only read

	return isOurs(ctx, look, path)
}

// isOurs returns whether a file is ours, false for one without tables, and an
// error for a file of another program.
func isOurs(ctx context.Context, look *sql.Tx, path string) (bool, error) {
	var id, tables int
	if err := look.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return false, err
	}
	if err := look.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return false, err
	}
	if id != applicationID && (id != 0 || tables > 0) {
		return false, fmt.Errorf("%s is a database of another program: name another file, it was not touched", path)
	}

	return id == applicationID, nil
}

func folderError(path string) error {
	file := filepath.Join(path, "ridehail.db")
	return fmt.Errorf("%s is a folder: name a file in it, for example %s", path, file)
}

// newerSchemaError says that a newer version wrote a file.
func newerSchemaError(path string, version, newest int64) error {
	return fmt.Errorf("%s has schema version %d, this program knows up to %d: use the newer ridehail that wrote it",
		path, version, newest)
}
