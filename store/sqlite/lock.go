package sqlite

import (
	"context"
	"database/sql"
	"errors"
)

// LockWrites takes the write lock of a file, as another program may, until
// release is called: writes wait meanwhile, and fail after some seconds; reads
// go on. It waits for a write that is under way.
func LockWrites(ctx context.Context, path string) (release func() error, err error) {
	db, err := sql.Open("sqlite", dataSourceName(path, "mode=rw"))
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(explainError(path, err), db.Close())
	}

	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return nil, errors.Join(explainError(path, err), conn.Close(), db.Close())
	}
	return func() error {
		_, err := conn.ExecContext(context.Background(), `ROLLBACK`)
		return errors.Join(err, conn.Close(), db.Close())
	}, nil
}
