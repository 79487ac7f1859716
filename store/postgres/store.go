// Package postgres keeps everything of a node in Postgres. It alone speaks its
// SQL.
//
// Every write is one transaction in one round trip, guarded so that it may be
// sent again. When a connection dies with the answer on it, the outcome is read
// back before the call returns.
package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Options are all optional; zero values stand for the numbers in brackets.
type Options struct {
	MaxConns int // connections to the server at once [16]
}

// Limits of one statement. The server gives up before the client does, so that
// a statement that ran too long is known to have been rolled back.
const (
	lockTimeout      = "2s"
	statementTimeout = "3s"
	idleTxTimeout    = "10s"
	answerTimeout    = 4 * time.Second // when the server says nothing
	dialTimeout      = 2 * time.Second
	pingTimeout      = time.Second
)

// Store keeps everything of a node in one database; see store.Store. Each of
// its parts keeps one contract. Its methods may be called from many goroutines;
// each blocks until the server has answered or ctx has ended.
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

// Open connects to a database that Migrate has prepared. Close the store when
// nothing uses it any more.
func Open(ctx context.Context, url string, opts Options) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("postgres address: %w", err)
	}

	cfg.MaxConns = int32(cmp.Or(opts.MaxConns, 16))
	cfg.PingTimeout = pingTimeout
	cfg.ConnConfig.ConnectTimeout = dialTimeout

	maps.Copy(cfg.ConnConfig.RuntimeParams, map[string]string{
		"lock_timeout":                        lockTimeout,
		"statement_timeout":                   statementTimeout,
		"idle_in_transaction_session_timeout": idleTxTimeout,
		// A statement is planned once per connection, perhaps while the tables
		// are empty, and must stay fast when they are not. All but the audit's
		// have an index, so that no look at the statistics is needed.
		"plan_cache_mode": "force_generic_plan",
		"enable_seqscan":  "off",
		"jit":             "off",
	})

	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}

	db := &database{pool}
	if err := db.checkSchema(ctx); err != nil {
		pool.Close()
		return nil, err
	}

	return &Store{
		database:     db,
		tripStore:    tripStore{db, startGroupCommitter(db)},
		outboxStore:  outboxStore{db},
		chatStore:    chatStore{db},
		chargeStore:  chargeStore{db},
		refundStore:  refundStore{db},
		alertStore:   alertStore{db},
		auditSource:  auditSource{db},
		resumeReader: resumeReader{db},
	}, nil
}

// Close waits for moves that are being committed and closes all connections.
// Calls after it fail.
func (s *Store) Close() {
	s.commits.close()
	s.pool.Close()
}
