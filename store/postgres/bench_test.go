package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// BenchmarkApply lets clients ride, each move after move, through the store and
// through a bare statement: a guarded write of the trip, the event and the
// outbox row, without command ids, on a connection per client. Both work in
// turns on the same server; x-bare is how many moves the store makes in the
// time of one bare one. Where there is a PgBouncer, a third turn goes through
// it; x-direct is how many moves it makes in the time of one without it.
func BenchmarkApply(b *testing.B) {
	for _, clients := range []int{16, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			store, raw := openStore(b, createDatabase(b)), newBare(b, createDatabase(b), clients)
			var pooled *Store
			if os.Getenv("RIDEHAIL_TEST_PGBOUNCER") != "" {
				pooled = openStore(b, throughPgBouncer(b, createDatabase(b)))
			}
			var bareTime, storeTime, pooledTime time.Duration
			turns := 10
			if testing.Short() {
				turns = 1
			}
			b.ResetTimer()

			for range turns {
				bareTime += rideFor(b, clients, b.N/turns+1, raw.apply)
				storeTime += rideFor(b, clients, b.N/turns+1, store.Apply)
				if pooled != nil {
					pooledTime += rideFor(b, clients, b.N/turns+1, pooled.Apply)
				}
			}

			n := float64(turns * (b.N/turns + 1))
			b.ReportMetric(n/storeTime.Seconds(), "moves/s")
			b.ReportMetric(n/bareTime.Seconds(), "bare-moves/s")
			b.ReportMetric(bareTime.Seconds()/storeTime.Seconds(), "x-bare")
			if pooled != nil {
				b.ReportMetric(n/pooledTime.Seconds(), "pooled-moves/s")
				b.ReportMetric(storeTime.Seconds()/pooledTime.Seconds(), "x-direct")
			}
		})
	}
}

type apply func(context.Context, trips.Command) (trips.Event, error)

// rideFor makes at least n moves and returns how long they took.
func rideFor(b *testing.B, clients, n int, apply apply) time.Duration {
	var moves atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()

	for range clients {
		all.Go(func() {
			person := uuid.NewString()
			for moves.Load() < int64(n) {
				m, err := rideOnce(b.Context(), person, apply)
				if err != nil {
					b.Error(err)
					return
				}
				moves.Add(m)
			}
		})
	}

	all.Wait()
	took := time.Since(begin)
	return time.Duration(float64(took) * float64(n) / float64(moves.Load()))
}

// rideOnce makes a whole ride of one rider with one driver.
func rideOnce(ctx context.Context, person string, apply apply) (moves int64, err error) {
	home, work := location.Point{Lng: 3.3792, Lat: 6.5244}, location.Point{Lng: 3.4215, Lat: 6.4281}
	driver, quote := trips.Driver(trips.DriverID(person)), trips.Quote{Metres: 12345.6, Duration: 1500 * time.Second,
		Fare: trips.Money{Minor: 334_700, Currency: "NGN"}, Source: "road"}
	ev, err := trips.Request(trips.TripID(uuid.NewString()), trips.RiderID(person), home, work, quote, time.Now())
	for _, next := range []trips.Transition{
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(trips.DriverID(person), at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Arrive(driver, at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Start(driver, at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Complete(driver, at) },
		nil,
	} {
		if err == nil {
			key := trips.IdempotencyKey{Actor: ev.By, ID: uuid.NewString(), Fingerprint: string(ev.Kind)}
			ev, err = apply(ctx, trips.Command{Key: key, Event: ev})
			moves++
		}

		if err != nil || next == nil {
			return moves, err
		}
		ev, err = next(ev.Trip, time.Now())
	}

	return moves, err
}

// bare is the baseline that the store is measured against.
type bare struct{ pool *pgxpool.Pool }

func newBare(b *testing.B, at string, clients int) bare {
	cfg, err := pgxpool.ParseConfig(at)
	if err != nil {
		b.Fatal(err)
	}

	cfg.MaxConns = int32(clients)
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return bare{pool}
}

const bareTail = `, logged AS (
  INSERT INTO trip_events (trip_id, seq, kind, payload) SELECT id, version, $6, $7::json FROM moved
), told AS (
  INSERT INTO outbox (topic, region, kind, trip_id, payload) SELECT 'trip', region, $6, id, $7::json FROM moved
) SELECT count(*) FROM moved`

const bareOpen = `WITH moved AS (
  INSERT INTO trips (id, version, state, rider, region, requested_at) VALUES ($1, $2, $3, $4, $5, $8)
  RETURNING id, version, region)` + bareTail

const bareMove = `WITH moved AS (
  UPDATE trips SET version = $2, state = $3, driver = $4, ended_at = $8
  WHERE id = $1 AND version = $2 - 1 AND region = $5
  RETURNING id, version, region)` + bareTail

func (r bare) apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	t := m.Event.Trip
	payload, err := json.Marshal(m.Event)
	if err != nil {
		return trips.Event{}, err
	}

	sql, who, at := bareMove, string(t.Driver), &t.EndedAt
	if t.Version == 1 {
		sql, who, at = bareOpen, string(t.Rider), &t.RequestedAt
	}
	if at.IsZero() {
		at = nil
	}

	var n int
	err = r.pool.QueryRow(ctx, sql, t.ID, t.Version, t.State, who, t.Region, m.Event.Kind, string(payload), at).Scan(&n)
	if err == nil && n != 1 {
		err = fmt.Errorf("trip %s: %w", t.ID, trips.ErrConflict)
	}

	return m.Event, err
}
