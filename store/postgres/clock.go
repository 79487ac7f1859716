package postgres

import (
	"context"
	"fmt"
	"time"
)

// Now returns the server's time. It asks once and waits at most a second.
func (s *Store) Now(ctx context.Context) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := s.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&at); err != nil {
		return at, fmt.Errorf("postgres time: %w", err)
	}
	return at, nil
}
