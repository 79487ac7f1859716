package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newRequest returns a rider's request under a command id.
func newRequest(rider trips.RiderID, id string) trips.Command {
	ev, err := trips.Request(trips.TripID("trip-"+string(rider)), rider, marina, airport, quote, noon)
	if err != nil {
		panic(err)
	}
	return trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: id, Fingerprint: "request"}, Event: ev}
}

// requestTrip opens a rider's trip.
func requestTrip(t *testing.T, s *Store, rider trips.RiderID) trips.Trip {
	t.Helper()
	ev, err := s.Apply(t.Context(), newRequest(rider, "ask"))
	if err != nil {
		t.Fatal(err)
	}
	return ev.Trip
}

func TestAFullDiskIsNamedAndTheStoreGoesOnOnceThereIsSpace(t *testing.T) {
	s := openStore(t, Options{})
	kept := requestTrip(t, s, "ada")

	// The writer does not use its connection while no job is queued.
	if _, err := s.writer.conn.ExecContext(t.Context(), `PRAGMA max_page_count = 1`); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		_, err = s.Apply(t.Context(), newRequest(trips.RiderID(fmt.Sprint("rider-", i)), "ask"))
	}
	if err == nil || !strings.Contains(err.Error(), "disk is full") || !strings.Contains(err.Error(), s.path) {
		t.Fatalf("got %v", err)
	}
	if now, err := s.Trip(t.Context(), kept.ID); err != nil || now != kept {
		t.Errorf("what was kept: %+v, %v", now, err)
	}
	if _, err := s.writer.conn.ExecContext(t.Context(), `PRAGMA max_page_count = 1000000`); err != nil {
		t.Fatal(err)
	}

	requestTrip(t, s, "bola")
}

func TestAnotherProgramThatHoldsTheFileIsNamed(t *testing.T) {
	s := openStore(t, Options{})
	if _, err := s.writer.conn.ExecContext(t.Context(), `PRAGMA busy_timeout = 1`); err != nil {
		t.Fatal(err)
	}

	other, err := openRaw(t, s.path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()

	if _, err := other.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}

	_, err = s.Apply(t.Context(), newRequest("ada", "ask"))
	if err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("got %v", err)
	}
	if err := s.CheckWritable(t.Context()); err == nil {
		t.Error("a store that cannot write says that it is well")
	}
	if _, err := other.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}

	requestTrip(t, s, "ada")
}

// The lock alone can be had also where nothing can be written.
func TestAStoreWhoseWritesFailIsNotWell(t *testing.T) {
	s := openStore(t, Options{})
	for _, c := range []struct {
		change string
		isWell bool
	}{
		{`CREATE TRIGGER broken BEFORE UPDATE ON relay_shards BEGIN SELECT RAISE(ABORT, 'nothing can be written'); END`, false},
		{`DROP TRIGGER broken`, true},
	} {
		if _, err := s.writer.conn.ExecContext(t.Context(), c.change); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckWritable(t.Context()); (err == nil) != c.isWell {
			t.Errorf("after %s: %v", c.change, err)
		}
	}
}

// commitTogether commits moves in one batch, as if all had arrived during one
// commit, and returns their results.
func commitTogether(s *Store, moves ...func(tx *statements) error) []error {
	var jobs []*job
	for _, do := range moves {
		jobs = append(jobs, &job{ctx: context.Background(), do: do})
	}
	err := s.writer.commitBatch(jobs)
	verdicts := make([]error, len(jobs))
	for i, j := range jobs {
		verdicts[i] = errors.Join(err, j.err)
	}

	return verdicts
}

// openTrip writes the row of a new trip, then perhaps fails.
func openTrip(rider trips.RiderID, then error) func(tx *statements) error {
	return func(tx *statements) error {
		return errors.Join(updateTripRow(tx, newRequest(rider, "ask").Event.Trip), then)
	}
}

func TestInOneCommitTheLoserLeavesNothingAndTheOthersWin(t *testing.T) {
	s := openStore(t, Options{})
	changed := errors.New("changed my mind")
	got := commitTogether(s, openTrip("ada", nil), openTrip("bola", changed), openTrip("ada", nil), openTrip("chi", nil))
	for i, want := range []error{nil, changed, trips.ErrRiderBusy, nil} {
		if !errors.Is(got[i], want) || (want == nil) != (got[i] == nil) {
			t.Errorf("verdict %d: %v, want %v", i, got[i], want)
		}
	}

	for rider, want := range map[string]bool{"ada": true, "bola": false, "chi": true} {
		var n int
		err := s.read.queryOne(t.Context(), `SELECT count(*) FROM trips WHERE rider = ?`, []any{rider}, &n)
		if err != nil || (n == 1) != want {
			t.Errorf("%s has %d trips, %v", rider, n, err)
		}
	}
}

func TestWhenACommitFailsNobodyInItIsToldAnythingElse(t *testing.T) {
	s := openStore(t, Options{})

	// The second one loses against the first; but when the first one's trip is
	// not kept, that is no longer true.
	lost := func(tx *statements) error {
		// SQLite does this when the disk fails.
		_, err := tx.exec(context.Background(), `ROLLBACK`)
		return errors.Join(err, errors.New("disk on fire"))
	}

	for i, err := range commitTogether(s, openTrip("ada", nil), lost, openTrip("ada", nil)) {
		if err == nil {
			t.Errorf("verdict %d is a success", i)
		}
	}

	if got := commitTogether(s, openTrip("ada", nil)); got[0] != nil {
		t.Errorf("afterwards: %v", got[0])
	}
}

func TestWhoGaveUpWaitingBeforeTheCommitLeavesNothing(t *testing.T) {
	s := openStore(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	j := &job{ctx: ctx, do: openTrip("ada", nil)}
	if err := s.writer.commitBatch([]*job{j}); err != nil || !errors.Is(j.err, context.Canceled) {
		t.Errorf("%v, %v", err, j.err)
	}

	requestTrip(t, s, "ada")
}

func TestTwoProgramsOnOneFileNeverGiveATripTwice(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{Relaxed: true})

	other, err := Open(t.Context(), s.path, Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for round := range 20 {
		trip := requestTrip(t, s, trips.RiderID(fmt.Sprint("rider-", round)))
		verdicts := make(chan error)
		for i, store := range []*Store{s, other} {
			go func() {
				ev, err := trip.Reserve(trips.DriverID(fmt.Sprint("driver-", round, "-", i)), noon)
				if err == nil {
					_, err = store.Apply(t.Context(), trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: "accept"}, Event: ev})
				}
				verdicts <- err
			}()
		}

		first, second := <-verdicts, <-verdicts
		if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), trips.ErrConflict) {
			t.Errorf("%v, %v", first, second)
		}
	}
}
