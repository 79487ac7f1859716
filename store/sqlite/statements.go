package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/ridehail/ridehail/trips"
)

// statements prepares each statement once, so that SQL can stand where it is
// used and is parsed once.
type statements struct {
	path     string
	on       preparer
	mu       sync.RWMutex
	prepared map[string]*sql.Stmt
}

// preparer is a pool or one connection.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

func newStatements(path string, on preparer) *statements {
	return &statements{path: path, on: on, prepared: map[string]*sql.Stmt{}}
}

func (s *statements) prepareOnce(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.RLock()
	stmt := s.prepared[query]
	s.mu.RUnlock()

	if stmt != nil {
		return stmt, nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if stmt := s.prepared[query]; stmt != nil {
		return stmt, nil
	}

	stmt, err := s.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}

	s.prepared[query] = stmt
	return stmt, nil
}

// exec runs a statement and returns how many rows it changed.
func (s *statements) exec(ctx context.Context, query string, args ...any) (int64, error) {
	stmt, err := s.prepareOnce(ctx, query)
	if err != nil {
		return 0, explainError(s.path, err)
	}

	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, explainError(s.path, err)
	}
	return result.RowsAffected()
}

// queryOne reads the first row into its targets, or returns trips.ErrNotFound.
func (s *statements) queryOne(ctx context.Context, query string, args []any, into ...any) error {
	stmt, err := s.prepareOnce(ctx, query)
	if err != nil {
		return explainError(s.path, err)
	}

	err = stmt.QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return trips.ErrNotFound
	}
	return explainError(s.path, err)
}

// queryEach calls take for every row and stops at the first error.
func (s *statements) queryEach(ctx context.Context, query string, args []any, take func(*sql.Rows) error) error {
	stmt, err := s.prepareOnce(ctx, query)
	if err != nil {
		return explainError(s.path, err)
	}

	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return explainError(s.path, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows); err != nil {
			return err
		}
	}

	return explainError(s.path, rows.Err())
}

func (s *statements) closeAll() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	var all error
	for query, stmt := range s.prepared {
		all = errors.Join(all, stmt.Close())
		delete(s.prepared, query)
	}
	return all
}
