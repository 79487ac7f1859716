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
	"log/slog"
	"maps"
	"time"

	"github.com/ridehail/ridehail/tracing"
)

// Options are all optional; zero values stand for what the brackets say.
type Options struct {
	// MaxConns is how many connections a store has at most. Without it the
	// address says so, by pool_max_conns [16].
	MaxConns int
	Log      *slog.Logger    // [slog.Default]
	Tracer   *tracing.Tracer // nil: no hop is recorded
}

// defaultMaxConns is the size of a pool if neither the caller nor the address
// gives one.
const defaultMaxConns = 16

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

// Open connects to a database that Migrate has prepared. It refuses a server
// that only reads, and any other schema than this program's. Close the store
// when nothing uses it any more.
func Open(ctx context.Context, url string, opts Options) (*Store, error) {
	s, err := inspectServer(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(s.checkWritable(), s.checkSchema(false)); err != nil {
		return nil, err
	}

	if s.direct {
		maps.Copy(s.config.ConnConfig.RuntimeParams, sessionParameters)
	} else {
		log := cmp.Or(opts.Log, slog.Default())
		log.Info("a pooler such as PgBouncer stands before Postgres: no statement is prepared, and timeouts are the role's")
		if s.timeoutAdvice != "" {
			log.Warn("the role has no timeouts, so that a lock may be waited for long; run this in Postgres", "sql", s.timeoutAdvice)
		}
	}

	db, err := s.openDatabase(ctx, opts.MaxConns)
	if err != nil {
		return nil, err
	}
	db.tracer = opts.Tracer
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

// sessionParameters are set on each session where no pooler stands between.
var sessionParameters = map[string]string{
	"lock_timeout":                        lockTimeout,
	"statement_timeout":                   statementTimeout,
	"idle_in_transaction_session_timeout": idleTxTimeout,
	// A statement is planned once per connection, perhaps while the tables
	// are empty, and must stay fast when they are not. All but the audit's
	// have an index, so that no look at the statistics is needed.
	"plan_cache_mode": "force_generic_plan",
	"enable_seqscan":  "off",
	"jit":             "off",
}

// openDatabase opens a pool of at most n connections. Zero stands for what the
// address says.
func (s *server) openDatabase(ctx context.Context, n int) (*database, error) {
	cfg := s.config
	if n == 0 && !s.hasPoolSize {
		n = defaultMaxConns
	}
	if n > 0 {
		cfg.MaxConns = int32(n)
	}

	db := &database{config: cfg.ConnConfig, sessions: new(sessionPool)}
	pool, err := db.sessions.openPool(ctx, cfg)
	if err != nil {
		return nil, explainError(cfg.ConnConfig, err)
	}
	db.pool = pool
	return db, nil
}

// Close waits for moves that are being committed and closes all connections.
// Calls after it fail.
func (s *Store) Close() {
	s.commits.close()
	s.pool.Close()
}

// Reader reads a whole database for an audit, and writes nothing.
type Reader struct {
	auditSource
	outbox outboxStore
}

// OpenReader opens a database that has this program's schema, on a primary or
// on a standby. Close the reader when nothing uses it any more.
func OpenReader(ctx context.Context, url string) (*Reader, error) {
	s, err := inspectServer(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := s.checkSchema(false); err != nil {
		return nil, err
	}

	if s.direct {
		// Behind a pooler each transaction says that it only reads.
		s.config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	}
	db, err := s.openDatabase(ctx, 1)
	if err != nil {
		return nil, err
	}
	return &Reader{auditSource{db}, outboxStore{db}}, nil
}

// Backlog counts messages that are not relayed yet; see trips.Outbox.
func (r *Reader) Backlog(ctx context.Context) (n int, oldest time.Time, err error) {
	return r.outbox.Backlog(ctx)
}

// Close closes the connection.
func (r *Reader) Close() { r.pool.Close() }

// PoolStats are the connections of a pool, and how long callers waited for one.
type PoolStats struct {
	Total, Idle, Acquired, Max int

	// Since the store was opened.
	Waits     int64 // for a connection, because none was idle
	WaitedFor time.Duration
}

// PoolStats returns the figures of the pool at this moment.
func (db *database) PoolStats() PoolStats {
	s := db.pool.Stat()
	return PoolStats{Total: int(s.TotalConns()), Idle: int(s.IdleConns()), Acquired: int(s.AcquiredConns()),
		Max: int(s.MaxConns()), Waits: s.EmptyAcquireCount(), WaitedFor: s.EmptyAcquireWaitTime()}
}
