package races

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/store"
)

// redisServer is a Redis that counters are kept in.
type redisServer struct {
	client redis.UniversalClient
	prefix string // of all keys, which close removes
	where  finding.Part
	mini   *miniredis.Miniredis
}

// openRedis connects to the server that a URL names, or starts an embedded one.
func openRedis(ctx context.Context, address string) (*redisServer, error) {
	if address == "" {
		mini := miniredis.NewMiniRedis()
		if err := mini.Start(); err != nil {
			return nil, fmt.Errorf("embedded redis: %w", err)
		}
		return &redisServer{client: redis.NewClient(&redis.Options{Addr: mini.Addr(), MaxRetries: -1}), mini: mini,
			where: finding.Part{Name: "embedded Redis", Where: mini.Addr()}}, nil
	}

	opts, err := redis.ParseURL(address)
	if err != nil {
		return nil, fmt.Errorf("%w: --redis: want redis://HOST:PORT/DB", finding.ErrUsage)
	}
	// A command that is sent again by itself would count twice.
	opts.MaxRetries, opts.DialerRetries, opts.ContextTimeoutEnabled = -1, 1, true
	r := &redisServer{client: redis.NewClient(opts), prefix: "ridehail-lab-" + rand.Text() + ":", where: finding.Part{Name: "Redis", Where: opts.Addr}}
	if err := r.client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: --redis: %w", finding.ErrUnreachable, err), r.client.Close())
	}
	return r, nil
}

// createCounters sets the counters to 0.
func (r *redisServer) createCounters(ctx context.Context) error {
	return r.client.MSet(ctx, r.prefix+"set", 0, r.prefix+"incr", 0).Err()
}

// close removes the keys.
func (r *redisServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	err := r.client.Del(ctx, r.prefix+"set", r.prefix+"incr").Err()
	err = errors.Join(err, r.client.Close())
	if r.mini != nil {
		r.mini.Close()
	}
	return err
}

const closeWithin = 5 * time.Second

// database is the app's own store in a database of this run, and plain SQL
// beside it.
type database struct {
	store.Store
	sql        *sql.DB
	scratch    *scratch.Database
	closeStore func() error
}

// openDatabase opens SQLite, or the Postgres server that a URL names.
func openDatabase(ctx context.Context, address string) (db *database, err error) {
	db = &database{closeStore: func() error { return nil }}
	if db.scratch, err = scratch.Create(ctx, address); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.close())
		}
	}()

	// This also names the drivers of SQL.
	opened, closeStore, err := store.Open(ctx, db.scratch.URL, store.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return db, err
	}
	db.Store, db.closeStore = opened, closeStore
	db.sql, err = db.scratch.OpenSQL()
	return db, err
}

// createCounters makes the table of the counters.
func (db *database) createCounters(ctx context.Context) error {
	_, err := db.sql.ExecContext(ctx, "CREATE TABLE lab_counters (id INTEGER PRIMARY KEY, n BIGINT NOT NULL, version BIGINT NOT NULL)")
	if err == nil {
		_, err = db.sql.ExecContext(ctx, "INSERT INTO lab_counters VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0)")
	}
	return err
}

func (db *database) close() error {
	var err error
	if db.sql != nil {
		err = db.sql.Close()
	}
	return errors.Join(err, db.closeStore(), db.scratch.Close())
}

// readCursor returns how far a shard of the outbox is told.
func (db *database) readCursor(ctx context.Context, shard int) (id int64, err error) {
	err = db.sql.QueryRowContext(ctx, fmt.Sprintf("SELECT cursor_id FROM relay_shards WHERE shard = %d", shard)).Scan(&id)
	return id, err
}
