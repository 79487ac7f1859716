package races

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/ridehail/ridehail/lab/broken"
)

// counter is a number from 0 up, in one place, counted up in one way.
type counter struct {
	place, how string
	repaired   bool
	// add counts up by one and returns what it made of the number. It calls
	// think once or more, between looking and writing where it does both.
	add  func(think func()) (int64, error)
	read func() (int64, error)
}

// countUp lets the workers add one, updates times in all. It returns the number
// that was kept and what each worker saw.
func countUp(ctx context.Context, c counter, workers, updates int, think func()) (int, []porcupine.Operation, error) {
	began := time.Now()
	history := make([]porcupine.Operation, updates)
	var next atomic.Int64
	team, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		team.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= updates || ctx.Err() != nil {
					return ctx.Err()
				}

				called := time.Since(began)
				made, err := c.add(think)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.place, c.how, err)
				}
				history[i] = porcupine.Operation{ClientId: w, Input: addOne{}, Call: int64(called), Output: made,
					Return: int64(time.Since(began))}
			}
		})
	}

	if err := team.Wait(); err != nil {
		return 0, nil, err
	}
	kept, err := c.read()
	return int(kept), history, err
}

// inMemory returns the counters of one process, and what ends the owner's
// goroutine. A broken counter uses atomics, or the race detector would fail the
// build; its mistake is the same.
func inMemory(ctx context.Context) (all []counter, stop func()) {
	add := func(how string, make func(n *atomic.Int64) func(think func()) (int64, error)) {
		n := new(atomic.Int64)
		all = append(all, counter{place: "memory", how: how, repaired: len(all) > 0, add: make(n),
			read: func() (int64, error) { return n.Load(), nil }})
	}

	add("load, wait, store", func(n *atomic.Int64) func(func()) (int64, error) {
		return func(think func()) (int64, error) { return storeAfterLoad(n, think) }
	})
	add("mutex", withMutex)
	add("semaphore", func(n *atomic.Int64) func(func()) (int64, error) { return withSemaphore(ctx, n) })
	add("compare-and-set", withCompareAndSet)
	add("owner goroutine", func(n *atomic.Int64) (ask func(func()) (int64, error)) {
		ask, stop = withOwner(n)
		return ask
	})
	return all, stop
}

func storeAfterLoad(n *atomic.Int64, think func()) (int64, error) {
	return broken.ReadThenWrite(func() (int64, error) { return n.Load(), nil }, think, func(v int64) error { n.Store(v); return nil })
}

// withMutex lets one worker at a time do all three steps.
func withMutex(n *atomic.Int64) func(func()) (int64, error) {
	var mu sync.Mutex
	return func(think func()) (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		return storeAfterLoad(n, think)
	}
}

// withSemaphore does the same with a semaphore of one place. A semaphore of
// more places would let as many workers in at once.
func withSemaphore(ctx context.Context, n *atomic.Int64) func(func()) (int64, error) {
	places := semaphore.NewWeighted(1)
	return func(think func()) (int64, error) {
		if err := places.Acquire(ctx, 1); err != nil {
			return 0, err
		}
		defer places.Release(1)
		return storeAfterLoad(n, think)
	}
}

// withCompareAndSet writes only where the number is still the one it read, and
// starts over otherwise.
func withCompareAndSet(n *atomic.Int64) func(func()) (int64, error) {
	return func(think func()) (int64, error) {
		for {
			was := n.Load()
			think()
			if n.CompareAndSwap(was, was+1) {
				return was + 1, nil
			}
		}
	}
}

// withOwner gives the number to one goroutine, which is asked by messages. stop
// ends it.
func withOwner(n *atomic.Int64) (ask func(func()) (int64, error), stop func()) {
	type question struct {
		think  func()
		answer chan int64
	}
	questions := make(chan question)
	var owner sync.WaitGroup
	owner.Go(func() {
		for q := range questions {
			made, _ := storeAfterLoad(n, q.think) // memory gives no error
			q.answer <- made
		}
	})

	ask = func(think func()) (int64, error) {
		q := question{think, make(chan int64, 1)}
		questions <- q
		return <-q.answer, nil
	}
	return ask, func() { close(questions); owner.Wait() }
}

// inRedis returns the counters in Redis, under keys that begin with prefix.
func inRedis(ctx context.Context, r redis.UniversalClient, prefix string) []counter {
	read := func(key string) func() (int64, error) {
		return func() (int64, error) { return r.Get(ctx, key).Int64() }
	}
	set, incr := prefix+"set", prefix+"incr"
	return []counter{
		{place: "Redis", how: "GET, wait, SET", read: read(set), add: func(think func()) (int64, error) {
			return broken.ReadThenWrite(read(set), think, func(v int64) error { return r.Set(ctx, set, v, 0).Err() })
		}},
		{place: "Redis", how: "INCR", repaired: true, read: read(incr), add: func(think func()) (int64, error) {
			think()
			return r.Incr(ctx, incr).Result()
		}},
	}
}

// inSQL returns the counters in the rows 1 to 3 of the table lab_counters.
func inSQL(ctx context.Context, db *sql.DB) []counter {
	read := func(row int) func() (int64, error) {
		return func() (n int64, err error) {
			err = db.QueryRowContext(ctx, fmt.Sprintf("SELECT n FROM lab_counters WHERE id = %d", row)).Scan(&n)
			return n, err
		}
	}
	return []counter{
		{place: "SQL", how: "SELECT, wait, UPDATE", read: read(1), add: func(think func()) (int64, error) {
			return broken.ReadThenWrite(read(1), think, func(v int64) error {
				_, err := db.ExecContext(ctx, "UPDATE lab_counters SET n = $1 WHERE id = 1", v)
				return err
			})
		}},
		{place: "SQL", how: "set n = n + 1", repaired: true, read: read(2), add: func(think func()) (n int64, err error) {
			think()
			err = db.QueryRowContext(ctx, "UPDATE lab_counters SET n = n + 1 WHERE id = 2 RETURNING n").Scan(&n)
			return n, err
		}},
		{place: "SQL", how: "where version =", repaired: true, read: read(3), add: func(think func()) (int64, error) {
			return updateByVersion(ctx, db, think)
		}},
	}
}

// updateByVersion writes only where the row still has the version that was
// read, and starts over otherwise, as the app's stores do with trips.
func updateByVersion(ctx context.Context, db *sql.DB, think func()) (int64, error) {
	for {
		var n, version int64
		if err := db.QueryRowContext(ctx, "SELECT n, version FROM lab_counters WHERE id = 3").Scan(&n, &version); err != nil {
			return 0, err
		}

		think()
		done, err := db.ExecContext(ctx, "UPDATE lab_counters SET n = $1, version = version + 1 WHERE id = 3 AND version = $2", n+1, version)
		if err != nil {
			return 0, err
		}
		if rows, err := done.RowsAffected(); err != nil || rows == 1 {
			return n + 1, err
		}
	}
}
