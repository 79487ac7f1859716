package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// writer owns the one connection that writes. What callers ask for while a commit is on its way to the disk goes into
// the next commit together, so the disk's slowness is shared; each piece of work has a savepoint of its own, so nobody
// shares another one's failure.
type writer struct {
	db    *sql.DB
	conn  *sql.Conn
	stmts *statements
	work  chan *job
	once  sync.Once // for closing quit
	quit  chan struct{}
	ended chan struct{}
}

// job is one caller's writes. done gets one verdict, after the commit.
type job struct {
	ctx  context.Context
	do   func(tx *statements) error
	err  error // the verdict so far, if the commit succeeds
	done chan error
}

// batchMax bounds a commit, and so how long the first of its callers waits for the others.
const batchMax = 256

func openWriter(ctx context.Context, path, source string) (*writer, error) {
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w := &writer{db: db, conn: conn, stmts: newStatements(path, conn), work: make(chan *job),
		quit: make(chan struct{}), ended: make(chan struct{})}
	go w.run()
	return w, nil
}

// close waits until the writer has ended. Work that was taken up is finished.
func (w *writer) close() (err error) {
	w.once.Do(func() {
		close(w.quit)
		<-w.ended
		err = errors.Join(w.stmts.close(), w.conn.Close(), w.db.Close())
	})
	return err
}

// write has do run in a transaction and returns what it returned once that is committed. It returns when ctx ends; then
// the work may still be done. A do that fails leaves nothing behind. It may run beside others' in one commit, so it
// must do nothing but read and write through tx.
func write[T any](ctx context.Context, s *Store, do func(tx *statements) (T, error)) (T, error) {
	var out, none T
	j := &job{ctx: ctx, done: make(chan error, 1), do: func(tx *statements) (err error) {
		out, err = do(tx)
		return err
	}}
	select {
	case s.writer.work <- j:
	case <-s.writer.quit:
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

func (w *writer) run() {
	defer close(w.ended)
	batch := make([]*job, 0, batchMax)
	for {
		select {
		case <-w.quit:
			return
		case first := <-w.work:
			batch = w.gather(append(batch[:0], first))
		}
		err := w.commit(batch)
		for _, j := range batch {
			if err != nil && j.ctx.Err() == nil {
				j.err = fmt.Errorf("commit: %w", err)
			}
			j.done <- j.err
		}
		clear(batch)
	}
}

// gather takes whoever waits already. Those who were just answered come back at once: they get their turn to ask first.
func (w *writer) gather(batch []*job) []*job {
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

// commit does all work of a batch in one transaction. An error means that nothing of it happened, without doubt, since
// SQLite rolls back what it cannot commit; and that no verdict holds, since it may rest on what another one wrote.
func (w *writer) commit(batch []*job) error {
	ctx := context.Background() // callers' contexts must not break each other's transaction
	if _, err := w.stmts.exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	for _, j := range batch {
		if err := w.attempt(ctx, j); err != nil {
			return w.rollback(ctx, err)
		}
	}
	if _, err := w.stmts.exec(ctx, `COMMIT`); err != nil {
		return w.rollback(ctx, err)
	}
	return nil
}

// attempt does one piece of work, or none of it. Its error means that the transaction is lost.
func (w *writer) attempt(ctx context.Context, j *job) error {
	if j.err = j.ctx.Err(); j.err != nil {
		return nil
	}
	if _, err := w.stmts.exec(ctx, `SAVEPOINT job`); err != nil {
		return err
	}
	if j.err = j.do(w.stmts); j.err != nil {
		// A full or failing disk makes SQLite roll back everything by itself; then there is no savepoint any more.
		if _, err := w.stmts.exec(ctx, `ROLLBACK TO job`); err != nil {
			return j.err
		}
	}
	_, err := w.stmts.exec(ctx, `RELEASE job`)
	return err
}

// rollback returns the error that made it necessary. It fails only when SQLite has rolled back already.
func (w *writer) rollback(ctx context.Context, why error) error {
	_, _ = w.stmts.exec(ctx, `ROLLBACK`)
	return why
}
