package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// writeCheckEvery is how often CheckWritable writes when all is well.
const writeCheckEvery = 10 * time.Second

// CheckWritable returns an error unless the server can commit a write now. It
// waits a second at most.
//
// It asks each time whether the server only reads, which costs a round trip.
// That does not tell a right that was taken away, a standby that confirms no
// commits, or a server that refuses transaction ids. So it also commits a
// write: when for ten seconds no lease of the relay was committed, and each time
// while the last one failed. A full disk
// shows only where a table must grow. So after the server has refused a write
// for that, CheckWritable lets a table grow until that succeeds.
func (db *database) CheckWritable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := db.checkServer(ctx); err != nil {
		return err
	}

	if sinceStart() >= time.Duration(db.nextWrite.Load()) {
		if _, err := db.pool.Exec(ctx, `UPDATE relay SET holder = holder`); err != nil {
			return explainError(db.config, fmt.Errorf("nothing can be committed: %w", err))
		}
		db.noteCommit()
	}

	if db.sessions.diskIsFull.Load() {
		if err := db.growTable(ctx); err != nil {
			return explainError(db.config, fmt.Errorf("tables cannot grow: %w", err))
		}
		db.sessions.diskIsFull.Store(false)
	}
	return nil
}

// noteCommit says that the server has just committed a write.
func (db *database) noteCommit() { db.nextWrite.Store(int64(sinceStart() + writeCheckEvery)) }

// checkServer returns an error if the server only reads. A session may say so
// for longer than the server, so it asks a new one before it believes that.
func (db *database) checkServer(ctx context.Context) error {
	for try := 0; ; try++ {
		var inRecovery, onlyReads bool
		err := db.read(ctx, func(ctx context.Context) error {
			return db.pool.QueryRow(ctx, `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool`).
				Scan(&inRecovery, &onlyReads)
		})
		if err != nil {
			return explainError(db.config, err)
		}

		err = checkRole(db.config, inRecovery, onlyReads)
		if err == nil || try > 0 {
			return err
		}
		db.pool.Reset()
	}
}

// growTable writes a row that needs new pages, and takes it back.
func (db *database) growTable(ctx context.Context) error {
	tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, `INSERT INTO outbox (topic, region, kind, trip_id, payload)
		SELECT '', '', '', '', to_json(string_agg(md5(random()::text), '')) FROM generate_series(1, 8192)`)
	return err
}
