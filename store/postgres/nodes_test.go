package postgres

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
)

func TestManyNodesMigrateAtOnce(t *testing.T) {
	name, at := createBareDatabase(t, "template0")
	dropAfterTest(t, name)
	if _, err := Open(t.Context(), at, Options{}); err == nil || !strings.Contains(err.Error(), "ridehail migrate") {
		t.Errorf("without a schema: %v", err)
	}

	var nodes sync.WaitGroup
	for range 4 {
		nodes.Go(func() {
			if err := Migrate(t.Context(), at); err != nil {
				t.Error(err)
			}
		})
	}

	nodes.Wait()
	applyMove(t, openStore(t, at), newRequest(t, "rider"))
}

func TestAWrongAddressIsSaidAtOnce(t *testing.T) {
	for _, at := range []string{"not an address", "postgres://unknown@127.0.0.1:1/none?sslmode=disable"} {
		if _, err := Open(t.Context(), at, Options{}); err == nil {
			t.Errorf("opened %q", at)
		}
		if err := Migrate(t.Context(), at); err == nil {
			t.Errorf("migrated %q", at)
		}
	}
}

func TestTwoNodesNeverShareDriversOrTrips(t *testing.T) {
	const n = 12
	at := createDatabase(t)
	nodes := []*Store{openStore(t, at), openStore(t, at)}
	var open [n]trips.Trip
	for i := range open {
		open[i] = applyMove(t, nodes[0], newRequest(t, fmt.Sprint("rider ", i))).Trip
	}
	var mu sync.Mutex
	byDriver, byTrip := map[trips.DriverID]int{}, map[trips.TripID]int{}
	var all sync.WaitGroup
	for i := range n * n * 2 {
		all.Go(func() {
			driver := trips.DriverID(fmt.Sprint("driver ", (i/n+i)%n))
			ev, err := open[i%n].Reserve(driver, dawn)
			if err == nil {
				key := trips.IdempotencyKey{Actor: ev.By, ID: fmt.Sprint(i)}
				ev, err = nodes[i%2].Apply(t.Context(), trips.Command{Key: key, Event: ev})
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				byDriver[ev.Trip.Driver]++
				byTrip[ev.Trip.ID]++
			} else if !errors.Is(err, trips.ErrTaken) && !errors.Is(err, trips.ErrConflict) {
				t.Error(err)
			}
		})
	}

	all.Wait()
	if len(byDriver) != n || len(byTrip) != n {
		t.Errorf("%d drivers and %d trips found each other, of %d", len(byDriver), len(byTrip), n)
	}

	for who, times := range byDriver {
		if times != 1 {
			t.Errorf("%s won %d trips", who, times)
		}
	}
}

func TestOneCommandThatArrivesAtTwoNodesHasOneEffect(t *testing.T) {
	at := createDatabase(t)
	nodes := []*Store{openStore(t, at), openStore(t, at)}
	for i := range 20 {
		var answers [8]trips.Event
		var all sync.WaitGroup
		for j := range answers {
			all.Go(func() {
				m := newRequest(t, fmt.Sprint("rider ", i))
				// Each service gives the trip an id of its own.
				m.Event.Trip.ID = trips.TripID(fmt.Sprint(i, " at ", j))
				var err error
				if answers[j], err = nodes[j%2].Apply(t.Context(), m); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()

		for _, ev := range answers {
			if ev != answers[0] {
				t.Errorf("answered %+v and %+v", ev, answers[0])
			}
		}
	}
}

func TestAMoveTheServerCannotTakeHarmsNoOther(t *testing.T) {
	s := openStore(t, createDatabase(t))
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			m := newRequest(t, fmt.Sprint("rider ", i))
			bad := i%8 == 0
			if bad {
				m.Event.Trip.Rider = "a\x00b" // no text to Postgres
			}
			if _, err := s.Apply(t.Context(), m); (err != nil) != bad {
				t.Errorf("rider %d: %v", i, err)
			}
		})
	}

	all.Wait()
}

func TestAMessageCommittedLateIsRelayedBeforeItsSuccessors(t *testing.T) {
	s := openStore(t, createDatabase(t))
	late, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Exec(t.Context(), `INSERT INTO outbox (topic, region, kind, trip_id, payload)
		VALUES ('trip', '', '', 'late', '{}')`); err != nil {
		t.Fatal(err)
	}

	applyMove(t, s, newRequest(t, "rider"))
	if told, err := s.PendingMessages(t.Context(), trips.AllShards(s), 10); err != nil || len(told) != 0 {
		t.Errorf("while an older transaction runs: %+v, %v", told, err)
	}
	if n, _, err := s.Backlog(t.Context()); err != nil || n != 1 {
		t.Errorf("backlog %d, %v", n, err)
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}

	for {
		told, err := s.PendingMessages(t.Context(), trips.AllShards(s), 10)
		if err != nil {
			t.Fatal(err)
		}

		if len(told) == 2 {
			if told[0].Trip != "late" {
				t.Errorf("told %+v first", told[0])
			}
			return
		}

		time.Sleep(time.Millisecond) // another database's transaction may run
	}
}

func TestAfterClosingMovesAreRefused(t *testing.T) {
	s := openStore(t, createDatabase(t))
	s.Close()
	if _, err := s.Apply(t.Context(), newRequest(t, "rider")); err == nil {
		t.Error("applied")
	}
	if err := s.CheckWritable(t.Context()); err == nil {
		t.Error("answered")
	}
}
