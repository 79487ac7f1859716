package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/trips"
)

var (
	marina = location.Point{Lng: 3.42, Lat: 6.43}
	fare   = trips.Quote{Fare: trips.Money{Minor: 123_400, Currency: "NGN"}}
)

func newRequest(t *testing.T, name string) trips.Command {
	ev, err := trips.Request(trips.TripID(name), trips.RiderID(name), marina, marina, fare, time.Now())
	if err != nil {
		t.Error(err)
	}
	return trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: name, Fingerprint: "request"}, Event: ev}
}

// TestEveryAckedMoveSurvivesAKilledPostgres kills the server with all its
// processes: in turns in the midst of commits, and after the last ack, when
// what is not written yet is surely some of it.
func TestEveryAckedMoveSurvivesAKilledPostgres(t *testing.T) {
	const rounds, enough = 4, 1000
	server := processtest.Postgres(t, append(processtest.ComposeFlags(t, "postgres"),
		// What commits do not wait for stays unwritten for 10 s.
		"-c", "wal_writer_delay=10s")...)

	url := server.URL
	if err := postgres.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}

	acked, lost := 0, 0
	for round := range rounds {
		kept := applyUntilKilled(t, url, round, enough, round%2 == 0, server.Kill)
		server.Start()
		lost += countMissing(t, url, kept)
		acked += len(kept)
	}

	t.Logf("%d of %d acked moves lost in %d kills", lost, acked, rounds)
	if lost > 0 {
		t.Errorf("%d of %d acked moves are gone", lost, acked)
	}
}

// applyUntilKilled applies moves until enough are acked, kills the server, and
// returns the acked ones.
func applyUntilKilled(t *testing.T, url string, round, enough int, midst bool, kill func()) (kept []trips.TripID) {
	store, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()

	var mu sync.Mutex
	var riders sync.WaitGroup
	var over atomic.Bool
	plenty := make(chan struct{})
	for rider := range 16 {
		riders.Go(func() {
			for i := 0; !over.Load(); i++ {
				ev, err := store.Apply(t.Context(), newRequest(t, fmt.Sprint(round, "-", rider, "-", i)))
				if err != nil {
					return
				}
				mu.Lock()
				if kept = append(kept, ev.Trip.ID); len(kept) == enough {
					close(plenty)
				}
				mu.Unlock()
			}
		})
	}

	gaveUp := make(chan struct{})
	go func() { riders.Wait(); close(gaveUp) }()

	select {
	case <-plenty:
	case <-gaveUp:
		t.Error("no move is acked any more, though the server lives")
	}

	if !midst {
		over.Store(true)
		<-gaveUp
	}
	kill()
	over.Store(true)
	<-gaveUp
	return kept
}

func countMissing(t *testing.T, url string, kept []trips.TripID) (lost int) {
	store, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()

	there := map[trips.TripID]bool{}
	if err := store.AuditTrips(t.Context(), func(trip trips.Trip) error { there[trip.ID] = true; return nil }); err != nil {
		t.Fatal(err)
	}

	for _, id := range kept {
		if !there[id] {
			lost++
		}
	}

	return lost
}
