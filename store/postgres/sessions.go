package postgres

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Codes of the server's errors that decide what happens next.
const (
	notText              = "22021" // an argument has a NUL or is not UTF-8
	uniqueViolation      = "23505" // readOutcome finds out what was taken
	lockNotAvailable     = "55P03" // it waited too long for a lock
	readOnlyTransaction  = "25006" // the server takes no writes any more
	idleInTransaction    = "25P03"
	unknownStatement     = "26000" // a prepared statement is gone
	duplicateStatement   = "42P05" // or another client's has its name
	planChanged          = "0A000" // a migration changed what a statement returns
	protocolViolation    = "08P01"
	insufficientRight    = "42501"
	diskFull             = "53100"
	tooManyConnections   = "53300"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	statementWasCanceled = "57014"
	undefinedTable       = "42P01"
	duplicateTable       = "42P07"
)

// sessionPool notices which sessions cannot serve any more, and gives them up.
// It is told of each error that a server sends on any session.
type sessionPool struct {
	watched   atomic.Pointer[pgxpool.Pool]
	nextReset atomic.Int64 // not before, in nanoseconds of sinceStart

	diskIsFull atomic.Bool // until a write that needs space succeeds
}

// resetPause keeps a server that stays read-only from costing a pool of new
// sessions for each write.
const resetPause = 500 * time.Millisecond

// openPool opens a pool whose sessions are watched.
func (s *sessionPool) openPool(ctx context.Context, cfg *pgxpool.Config) (*pgxpool.Pool, error) {
	onError := cfg.ConnConfig.OnPgError
	cfg.ConnConfig.OnPgError = func(c *pgconn.PgConn, refusal *pgconn.PgError) bool {
		return s.keepSession(refusal) && onError(c, refusal)
	}

	cfg.ShouldPing = s.pingIdle

	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err == nil {
		s.watched.Store(pool)
	}
	return pool, err
}

// keepSession returns whether a session can be used after an error.
func (s *sessionPool) keepSession(refusal *pgconn.PgError) bool {
	if refusal.Code == diskFull {
		s.diskIsFull.Store(true)
	}
	if !losesSession(refusal) {
		return true
	}
	s.resetOld()
	return false
}

// pingIdle asks whether a session that was idle still works. It returns true for
// one that does not: the pool asks again and drops it. The others will mostly
// hang as well, and to find that out takes a second for each.
func (s *sessionPool) pingIdle(ctx context.Context, p pgxpool.ShouldPingParams) bool {
	if p.IdleDuration <= pingIdleAfter {
		return false
	}

	ping, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := p.Conn.Ping(ping)
	if err != nil && ctx.Err() == nil {
		s.resetOld()
	}
	return err != nil
}

// pingIdleAfter is how long a session may be idle and be used unasked: longer
// than between two looks of a part that looks once a second.
const pingIdleAfter = 2 * time.Second

// noteLoss gives all sessions up if an error says that one was lost without a
// word of the server's, or that the server hung: it ends statements itself
// before anyone stops waiting. The other sessions will mostly be lost as well.
func (s *sessionPool) noteLoss(err error) {
	if err != nil && (wasSessionLost(err) || pgconn.Timeout(err) && errors.Is(err, context.DeadlineExceeded)) {
		s.resetOld()
	}
}

// losesSession returns whether an error belongs to the session and not to the
// statement, which may succeed on another one.
func losesSession(refusal *pgconn.PgError) bool {
	switch refusal.Code {
	case readOnlyTransaction, idleInTransaction, unknownStatement, duplicateStatement, adminShutdown, crashShutdown,
		cannotConnectNow, "57P05":
		return true
	case planChanged:
		return strings.Contains(refusal.Message, "cached plan")
	}
	return strings.HasPrefix(refusal.Code, "08")
}

// resetOld closes all sessions that were opened before, unless it did so just
// now. Those in use are closed when they are returned.
func (s *sessionPool) resetOld() {
	now, next := sinceStart(), s.nextReset.Load()
	pool := s.watched.Load()
	if pool != nil && int64(now) >= next && s.nextReset.CompareAndSwap(next, int64(now+resetPause)) {
		pool.Reset()
	}
}

var start = time.Now()

// sinceStart measures time, also when the machine's clock is set.
func sinceStart() time.Duration { return time.Since(start) }
