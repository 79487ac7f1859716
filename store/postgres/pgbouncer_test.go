package postgres

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/store/storetest"
	"github.com/ridehail/ridehail/trips"
)

func TestTheStoreKeepsItsContractThroughPgBouncer(t *testing.T) {
	testService(t, "RIDEHAIL_TEST_PGBOUNCER")
	storetest.Run(t, func(t testing.TB) storetest.Store {
		return openStore(t, throughPgBouncer(t, createRelaxedDatabase(t)))
	})
}

// createRelaxedDatabase is createDatabase and relaxCommits for a pooler, which
// refuses parameters in the address.
func createRelaxedDatabase(t testing.TB) string {
	t.Helper()
	at := createDatabase(t)
	name := at[strings.LastIndex(at, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	if err := execAdmin(t.Context(), "ALTER DATABASE "+name+" SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	return at
}

// poolers are kinds of PgBouncer. Most refuse our parameters. One is told to
// drop them without a word.
var poolers = map[string][]string{
	"that refuses parameters": {"default_pool_size = 3"},
	"that drops parameters":   {"default_pool_size = 3", "ignore_startup_parameters = ridehail.direct,jit,lock_timeout"},
	"with few connections":    {"default_pool_size = 2"},
}

func TestManyNodesStartAtOnceThroughPgBouncerAndRide(t *testing.T) {
	server := processtest.Postgres(t)
	for name, options := range poolers {
		t.Run(name, func(t *testing.T) {
			at := strings.Replace(processtest.PgBouncer(t, server, options...).URL, "/postgres?", "/"+createOn(t, server.URL)+"?", 1)
			const nodes, riders = 12, 10

			var all sync.WaitGroup
			for node := range nodes {
				all.Go(func() {
					if err := Migrate(t.Context(), at); err != nil {
						t.Error(err)
						return
					}
					s, err := Open(t.Context(), at, Options{Log: slog.New(slog.DiscardHandler)})
					if err != nil {
						t.Error(err)
						return
					}
					defer s.Close()
					for rider := range riders {
						if err := s.CheckWritable(t.Context()); err != nil {
							t.Error(err)
						}
						ride(t, s, fmt.Sprint("rider ", node, " ", rider))
					}
				})
			}
			all.Wait()

			r, err := OpenReader(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			completed := 0
			if err := r.AuditTrips(t.Context(), func(trip trips.Trip) error {
				if trip.State == trips.Completed {
					completed++
				}
				return nil
			}); err != nil || completed != nodes*riders {
				t.Errorf("%d of %d rides were completed, %v", completed, nodes*riders, err)
			}
		})
	}
}

func ride(t *testing.T, s *Store, person string) {
	if _, err := rideOnce(t.Context(), person, s.Apply); err != nil {
		t.Errorf("%s: %v", person, err)
	}
}

// createOn creates a database without a schema on a server of the test's own.
func createOn(t *testing.T, server string) (name string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	name = fmt.Sprintf("ridehail_test_%x", [16]byte(uuid.New()))
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestARoleWithoutTimeoutsBehindPgBouncerIsToldTheStatement(t *testing.T) {
	at := throughPgBouncer(t, createDatabase(t))
	logged := openLogged(t, at)
	for _, want := range []string{"ALTER ROLE postgres SET lock_timeout = '2s';", "SET statement_timeout = '3s'",
		"SET idle_in_transaction_session_timeout = '10s'"} {
		if !strings.Contains(logged, want) {
			t.Errorf("%q is not in: %s", want, logged)
		}
	}
	if n := strings.Count(logged, "level=WARN"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

func TestADirectServerIsGivenTimeoutsWithoutAWord(t *testing.T) {
	if logged := openLogged(t, createDatabase(t)); logged != "" {
		t.Errorf("logged %s", logged)
	}
}

// openLogged opens a store and returns what it logged meanwhile.
func openLogged(t *testing.T, at string) string {
	t.Helper()
	var log bytes.Buffer
	s, err := Open(t.Context(), at, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	return log.String()
}

func TestAParameterThatPgBouncerRefusesIsNamedWithWhatToDo(t *testing.T) {
	at := throughPgBouncer(t, createDatabase(t)) + "&synchronous_commit=off"
	_, err := Open(t.Context(), at, Options{})
	if err == nil || !strings.Contains(err.Error(), "synchronous_commit") || !strings.Contains(err.Error(), "set the parameter on the role") {
		t.Errorf("%v", err)
	}
}
