package planted

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/process"
)

// openPostgres returns the URL of a server for histories: the given one, or
// that of a private server, which runs until stop.
func openPostgres(ctx context.Context, given string) (url string, stop func(), err error) {
	if given != "" {
		return given, func() {}, nil
	}
	if err := process.MissingPostgres(); err != nil {
		return "", nil, fmt.Errorf("%w: two transactions at a time need Postgres; name one with --database, or install it: %w", finding.ErrUnreachable, err)
	}

	dir, guard, err := process.NewFolder("ridehail-lab")
	end := func() {
		if guard != nil {
			_ = guard.Close()
		}
		_ = os.RemoveAll(dir)
	}
	if err != nil {
		end()
		return "", nil, err
	}

	running, url, err := startPostgres(ctx, dir, guard)
	if err != nil {
		end()
		return "", nil, fmt.Errorf("%w: a private Postgres: %w", finding.ErrUnreachable, err)
	}
	return url, func() {
		_ = running.Stop(10 * time.Second)
		end()
	}, nil
}

// startPostgres starts a server without fsync: here no machine loses its power.
func startPostgres(ctx context.Context, dir string, guard *process.Guard) (*process.Process, string, error) {
	at, err := process.FreeAddresses(1)
	if err != nil {
		return nil, "", err
	}
	server, err := process.PreparePostgres(ctx, dir, at[0], guard, nil, "-c", "fsync=off")
	if err != nil {
		return nil, "", err
	}
	running, err := server.Serve(ctx, guard)
	return running, process.PostgresURL(at[0]), err
}

// lateCommit holds the commit of one command back. Its transaction has written
// all, and has its ids.
type lateCommit struct{ conn *pgx.Conn }

// holdSQL makes the transaction of one command wait at its commit for as long
// as this connection has the lock.
const holdSQL = `
CREATE OR REPLACE FUNCTION lab_wait() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER lab_late AFTER INSERT ON commands DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.id = '%s') EXECUTE FUNCTION lab_wait();
SELECT pg_advisory_lock(1);`

// holdCommit will hold back the commit of the command with an id.
func holdCommit(ctx context.Context, database, id string) (*lateCommit, error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf(holdSQL, id), pgx.QueryExecModeSimpleProtocol); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return &lateCommit{conn}, nil
}

// awaitCommit waits until the transaction waits, or ended is closed first.
func (l *lateCommit) awaitCommit(ctx context.Context, ended <-chan struct{}) (waits bool, err error) {
	for {
		err := l.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waits)
		if err != nil || waits {
			return waits, err
		}

		select {
		case <-ended:
			return false, nil
		default:
			if !sleep.For(ctx, 2*time.Millisecond) {
				return false, ctx.Err()
			}
		}
	}
}

// release lets the transaction commit.
func (l *lateCommit) release(ctx context.Context) { _ = l.conn.Close(context.WithoutCancel(ctx)) }
