package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/tracing"
)

// writer owns the one connection that writes. Jobs that arrive while a commit
// is on its way to the disk share the next commit. Each job has a savepoint of
// its own, so that it fails alone.
type writer struct {
	db    *sql.DB
	work  chan *job
	once  sync.Once // for closing quit
	quit  chan struct{}
	ended chan struct{} // closed when run has returned

	tracer *tracing.Tracer // nil: no hop is recorded

	// Of the goroutine in run; and of close, after it.
	conn  *sql.Conn
	stmts *statements
}

// job is one caller's writes. done receives its result after the commit.
type job struct {
	ctx  context.Context
	do   func(tx *statements) error
	err  error // its result if the commit succeeds
	done chan error
	hop  *jobHop // nil: nothing is recorded
}

// batchMax bounds a commit, and so how long the first of its callers waits for
// the others.
const batchMax = 256

func openWriter(ctx context.Context, path, source string, tracer *tracing.Tracer) (*writer, error) {
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, err
	}

	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}

	w := &writer{db: db, conn: conn, stmts: newStatements(path, conn), work: make(chan *job),
		quit: make(chan struct{}), ended: make(chan struct{}), tracer: tracer}
	go w.run()
	return w, nil
}

// close waits until the writer has ended. Jobs that it has taken are finished.
func (w *writer) close() (err error) {
	w.once.Do(func() {
		close(w.quit)
		<-w.ended
		err = errors.Join(w.stmts.closeAll(), w.conn.Close(), w.db.Close())
	})
	return err
}

// writeCommitted runs do in a transaction and returns its result once that is
// committed. When ctx ends it returns early, and the work may still be done. A
// do that fails leaves nothing behind. It shares a commit with other jobs, so
// it may only read and write through tx.
func writeCommitted[T any](ctx context.Context, db *database, do func(tx *statements) (T, error)) (T, error) {
	return writeTraced(ctx, db, nil, do)
}

// writeTraced is writeCommitted that records hops of a trip; nil: none.
func writeTraced[T any](ctx context.Context, db *database, hop *jobHop, do func(tx *statements) (T, error)) (T, error) {
	var out, none T
	j := &job{ctx: ctx, done: make(chan error, 1), hop: hop, do: func(tx *statements) (err error) {
		out, err = do(tx)
		return err
	}}

	select {
	case db.writer.work <- j:
	case <-db.writer.quit:
		return none, ErrClosed
	case <-ctx.Done():
		return none, ctx.Err()
	}

	select {
	case err := <-j.done:
		if err != nil {
			return none, err
		}
		return out, nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// run collects and commits batches until close.
func (w *writer) run() {
	defer close(w.ended)
	batch := make([]*job, 0, batchMax)
	for {
		select {
		case <-w.quit:
			return
		case first := <-w.work:
			batch = w.collectBatch(append(batch[:0], first))
		}

		w.runBatch(batch)
		clear(batch)
	}
}

// runBatch commits a batch, answers its callers and then records its hops.
func (w *writer) runBatch(batch []*job) {
	var began, ended time.Time
	isSampled := slices.ContainsFunc(batch, func(j *job) bool { return j.hop != nil })
	if isSampled {
		began = w.tracer.Now()
	}
	err := w.commitBatch(batch)
	if isSampled {
		ended = w.tracer.Now()
	}

	for _, j := range batch {
		if err != nil && j.ctx.Err() == nil {
			j.err = fmt.Errorf("commit: %w", err)
		}
		j.done <- j.err
	}
	if isSampled {
		w.recordBatch(batch, err, began, ended)
	}
}

// collectBatch adds all jobs that wait, up to batchMax. It yields first, so
// that callers that were just answered can ask again.
func (w *writer) collectBatch(batch []*job) []*job {
	runtime.Gosched()

	for len(batch) < batchMax {
		select {
		case j := <-w.work:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

// commitBatch runs all jobs of a batch in one transaction. After an error
// nothing of it happened, since SQLite rolls back what it cannot commit, and no
// result holds, since it may rest on what another job wrote.
func (w *writer) commitBatch(batch []*job) error {
	// A caller's context must not break the transaction of the others.
	ctx := context.Background()
	if _, err := w.stmts.exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}

	for _, j := range batch {
		if err := w.runJob(ctx, j); err != nil {
			return w.rollBack(ctx, err)
		}
	}

	if _, err := w.stmts.exec(ctx, `COMMIT`); err != nil {
		return w.rollBack(ctx, err)
	}
	return nil
}

// runJob runs one job, or undoes all of it. Its error means that the
// transaction is lost.
func (w *writer) runJob(ctx context.Context, j *job) error {
	if j.err = j.ctx.Err(); j.err != nil {
		return nil
	}
	if _, err := w.stmts.exec(ctx, `SAVEPOINT job`); err != nil {
		return err
	}

	if j.err = j.do(w.stmts); j.err != nil {
		// A full or failing disk makes SQLite roll back everything by itself;
		// then there is no savepoint any more.
		if _, err := w.stmts.exec(ctx, `ROLLBACK TO job`); err != nil {
			return j.err
		}
	}

	_, err := w.stmts.exec(ctx, `RELEASE job`)
	return err
}

// rollBack rolls back and returns the error that made it necessary. The
// rollback fails only if SQLite has rolled back already.
func (w *writer) rollBack(ctx context.Context, why error) error {
	_, _ = w.stmts.exec(ctx, `ROLLBACK`)
	return why
}
