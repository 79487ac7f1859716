package postgres

import (
	"context"
	"fmt"
)

// CountTransactions returns how many transactions the server has ended in this
// database since its last crash. Each session reports its own about once a
// second.
func (s *Store) CountTransactions(ctx context.Context) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	const ask = `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`
	if err := s.pool.QueryRow(ctx, ask).Scan(&n); err != nil {
		return 0, fmt.Errorf("postgres transactions: %w", err)
	}
	return n, nil
}
