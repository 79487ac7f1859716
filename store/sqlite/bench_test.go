package sqlite

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// BenchmarkApply measures durable moves through the whole store contract,
// beside the least that a single move could cost: one transaction with one
// guarded UPDATE and one INSERT of the same payload, as fast as one client can
// repeat it. "x bare" is how many times that rate the store reaches in the same
// run.
func BenchmarkApply(b *testing.B) {
	for _, mode := range []struct {
		name string
		o    Options
	}{{"full", Options{}}, {"normal", Options{Relaxed: true}}} {
		for _, clients := range []int{1, 16, 64} {
			bare := bareRate(b, mode.o)
			b.Run(fmt.Sprintf("%s/clients=%d", mode.name, clients), func(b *testing.B) {
				s := openStore(b, mode.o)
				b.ResetTimer()
				start := time.Now()
				rideMany(b, s, clients, b.N)
				rate := float64(b.N) / time.Since(start).Seconds()
				b.StopTimer()
				b.ReportMetric(rate, "moves/s")
				b.ReportMetric(bare, "bare/s")
				b.ReportMetric(rate/bare, "x-bare")
			})
		}
	}
}

// rideMany makes n moves by clients who each ride one trip after another.
func rideMany(b *testing.B, s *Store, clients, n int) {
	var left atomic.Int64
	left.Store(int64(n))

	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			who := fmt.Sprint("c", i)
			for left.Load() > 0 {
				if err := oneRide(s, who, &left); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}

	all.Wait()
}

func oneRide(s *Store, who string, left *atomic.Int64) error {
	now, by := time.Now(), trips.Driver(trips.DriverID(who))
	ev, err := trips.Request(trips.TripID(uuid.NewString()), trips.RiderID(who), marina, airport, quote, now)
	for i := 0; err == nil; i++ {
		if left.Add(-1) < 0 && i == 0 {
			return nil
		}

		m := trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: uuid.NewString(), Fingerprint: string(ev.Kind)}, Event: ev}
		if ev, err = s.Apply(context.Background(), m); err != nil {
			break
		}

		switch t := ev.Trip; t.State {
		case trips.Requested:
			ev, err = t.Reserve(trips.DriverID(who), now)
		case trips.Reserved:
			ev, err = t.Arrive(by, now)
		case trips.Arrived:
			ev, err = t.Start(by, now)
		case trips.OnTrip:
			ev, err = t.Complete(by, now)
		default:
			return nil
		}
	}

	return err
}

var (
	marina  = location.Point{Lng: 3.39, Lat: 6.45}
	airport = location.Point{Lng: 3.32, Lat: 6.58}
	quote   = trips.Quote{Metres: 9_000, Duration: 20 * time.Minute, Source: "road",
		Fare: trips.Money{Minor: 262_000, Currency: "NGN"}}
)

// bareRate returns the transactions per second of SQLite itself, with prepared
// statements and one client.
func bareRate(b *testing.B, o Options) float64 {
	b.Helper()
	s := openStore(b, o)
	ctx, tx, payload := context.Background(), s.writer.stmts, string(make([]byte, 0, 700))
	for len(payload) < 700 {
		payload += "0123456789"
	}
	run := func(query string, args ...any) {
		if _, err := tx.exec(ctx, query, args...); err != nil {
			b.Fatal(err)
		}
	}

	run(`CREATE TABLE bare (id TEXT PRIMARY KEY, version INTEGER)`)
	run(`CREATE TABLE bare_events (n INTEGER PRIMARY KEY, payload TEXT)`)
	run(`INSERT INTO bare VALUES ('a', 0)`)

	wanted := time.Second
	if testing.Short() {
		wanted = 10 * time.Millisecond
	}

	start, n := time.Now(), 0
	for ; time.Since(start) < wanted; n++ {
		run(`BEGIN IMMEDIATE`)
		run(`UPDATE bare SET version = version + 1 WHERE id = 'a' AND version = ?`, n)
		run(`INSERT INTO bare_events (payload) VALUES (?)`, payload)
		run(`COMMIT`)
	}

	return float64(n) / time.Since(start).Seconds()
}
