package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

var dawn = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// newRequest returns a rider's request under a command id of the same name.
func newRequest(t testing.TB, rider string) trips.Command {
	t.Helper()
	ev, err := trips.Request(trips.TripID("trip of "+rider), trips.RiderID(rider),
		location.Point{Lng: 3.38, Lat: 6.52}, location.Point{Lng: 3.42, Lat: 6.43}, trips.Quote{}, dawn)
	if err != nil {
		t.Fatal(err)
	}
	return trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: "request of " + rider, Fingerprint: "request"}, Event: ev}
}

func applyMove(t testing.TB, s *Store, m trips.Command) trips.Event {
	t.Helper()
	ev, err := s.Apply(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// checkKeptOnce checks that a move is stored once, as it was answered.
func checkKeptOnce(t testing.TB, s *Store, ev trips.Event) {
	t.Helper()
	evs, err := s.Events(t.Context(), ev.Trip.ID, ev.Seq()-1)
	if err != nil || len(evs) != 1 || evs[0] != ev {
		t.Errorf("kept %+v, %v; answered %+v", evs, err, ev)
	}

	var messages int
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE trip_id = $1 AND kind = $2`,
		ev.Trip.ID, ev.Kind).Scan(&messages); err != nil || messages != 1 {
		t.Errorf("%d messages, %v", messages, err)
	}
}

func TestACommitWhoseReplyIsLostIsAnsweredAndHappenedOnce(t *testing.T) {
	p, at := startProxy(t, createDatabase(t))
	s := openStore(t, at)
	applyMove(t, s, newRequest(t, "first"))

	for n := range 4 {
		rider := fmt.Sprint("rider ", n)
		p.cutNext(n, theReply, "request of "+rider)
		checkKeptOnce(t, s, applyMove(t, s, newRequest(t, rider)))
		p.checkAllCut()
	}
}

func TestARequestThatNeverArrivesIsSentAgain(t *testing.T) {
	p, at := startProxy(t, createDatabase(t))
	s := openStore(t, at)
	p.cutNext(3, theRequest, "request of rider")
	checkKeptOnce(t, s, applyMove(t, s, newRequest(t, "rider")))
	p.checkAllCut()
}

func TestALostReplyToAGroupIsAnsweredToEach(t *testing.T) {
	p, at := startProxy(t, createDatabase(t))
	s := openStore(t, at)
	p.cutNext(5, theReply, "request of ")

	var riders sync.WaitGroup
	for i := range 32 {
		riders.Go(func() {
			m := newRequest(t, fmt.Sprint("rider ", i))
			ev, err := s.Apply(t.Context(), m)
			if err != nil {
				t.Error(err)
				return
			}
			checkKeptOnce(t, s, ev)
		})
	}

	riders.Wait()
	p.checkAllCut()
}

func TestALostReplyToALosingMoveIsStillARefusal(t *testing.T) {
	p, at := startProxy(t, createDatabase(t))
	s := openStore(t, at)
	applyMove(t, s, newRequest(t, "rider"))
	again := newRequest(t, "rider")
	again.Key.ID, again.Event.Trip.ID = "second request", "second trip"
	p.cutNext(2, theReply, "second request")
	if _, err := s.Apply(t.Context(), again); !errors.Is(err, trips.ErrRiderBusy) {
		t.Errorf("got %v, want a busy rider", err)
	}

	p.checkAllCut()
}

func TestAMoveThatStillRunsWhenItsConnectionDiesHappensOnce(t *testing.T) {
	direct := createDatabase(t)
	p, at := startProxy(t, direct)
	s, observer := openStore(t, at), openStore(t, direct)
	first := applyMove(t, s, newRequest(t, "rider"))
	lock, err := observer.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(context.Background()) }()

	if _, err := lock.Exec(t.Context(), `SELECT FROM trips FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	reserve, err := first.Trip.Reserve("driver", dawn)
	if err != nil {
		t.Fatal(err)
	}

	answer := make(chan trips.Event, 1)
	var caller sync.WaitGroup
	caller.Go(func() {
		ev, err := s.Apply(t.Context(), trips.Command{Key: trips.IdempotencyKey{Actor: reserve.By, ID: "accept"}, Event: reserve})
		if err != nil {
			t.Error(err)
		}
		answer <- ev
	})
	defer caller.Wait()

	waitForWaiters(t, observer, 1)
	p.breakAll()

	// The move is sent again while the first still waits at the server.
	waitForWaiters(t, observer, 2)
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkKeptOnce(t, observer, <-answer)
}

// waitForWaiters returns when n connections to the database wait for a lock.
func waitForWaiters(t *testing.T, s *Store, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		var waiters int
		if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiters); err != nil {
			t.Fatal(err)
		}
		if waiters >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestWithoutAServerTheOutcomeIsOpenAndTheKeyTellsLater(t *testing.T) {
	p, at := startProxy(t, createDatabase(t))
	s := openStore(t, at)
	applyMove(t, s, newRequest(t, "first"))
	p.setBlocked(true)
	m := newRequest(t, "rider")

	_, err := s.Apply(t.Context(), m)
	for _, of := range []error{
		trips.ErrConflict, trips.ErrNotFound, trips.ErrTaken, trips.ErrRiderBusy, trips.ErrKeyReused,
	} {
		if err == nil || errors.Is(err, of) {
			t.Errorf("without a server: %v", err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Apply(ctx, m); !errors.Is(err, context.Canceled) {
		t.Errorf("and when the caller went away: %v", err)
	}

	p.setBlocked(false)
	checkKeptOnce(t, s, applyMove(t, s, m))
}

func TestALostReplyToAMessageOrASettlementIsAnsweredOnce(t *testing.T) {
	p, at := startProxy(t, createDatabase(t))
	s := openStore(t, at)
	ride := completeRide(t, s)
	p.cutNext(2, theReply, "anybody there?")
	said := chat.Message{Trip: ride.ID, From: trips.Rider("rider"), ClientID: "1", Text: "anybody there?", At: dawn}
	m, err := s.AppendChat(t.Context(), said, string(ride.Region))
	if err != nil || m.Seq != 1 {
		t.Errorf("said %+v, %v", m, err)
	}

	p.checkAllCut()
	history, err := s.ChatHistory(t.Context(), ride.ID, 0, 10)
	if err != nil || len(history) != 1 || history[0] != m {
		t.Errorf("history %+v, %v", history, err)
	}

	p.cutNext(2, theReply, "provider's id")
	asked := payments.Charge{Trip: ride.ID, Rider: ride.Rider, Reference: "r", ProviderID: "provider's id", At: dawn}
	c, err := s.RecordCharge(t.Context(), asked)
	if err != nil || c != asked {
		t.Errorf("settled %+v, %v", c, err)
	}

	p.checkAllCut()
	var messages int
	err = s.pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE topic <> 'trip'`).Scan(&messages)
	if err != nil {
		t.Fatal(err)
	}
	if messages != 2 {
		t.Errorf("%d messages", messages)
	}
}

// completeRide makes a completed trip.
func completeRide(t *testing.T, s *Store) trips.Trip {
	ev := applyMove(t, s, newRequest(t, "rider"))
	d := trips.Driver("driver")
	for i, verb := range []trips.Transition{
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve("driver", at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Arrive(d, at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Start(d, at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Complete(d, at) },
	} {
		next, err := verb(ev.Trip, dawn)
		if err != nil {
			t.Fatal(err)
		}
		ev = applyMove(t, s, trips.Command{Key: trips.IdempotencyKey{Actor: d, ID: fmt.Sprint(i)}, Event: next})
	}

	return ev.Trip
}

func TestWhileConnectionsAreKilledEveryMoveHappensOnce(t *testing.T) {
	at := createDatabase(t)
	s := openStore(t, at)
	killer, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close(context.Background())

	var riders sync.WaitGroup
	var made [16][10]trips.Event
	moved := make(chan struct{}, len(made)*len(made[0]))
	for i := range made {
		riders.Go(func() {
			for j := range made[i] {
				var err error
				if made[i][j], err = s.Apply(t.Context(), newRequest(t, fmt.Sprint("rider ", i, " ", j))); err != nil {
					t.Error(err)
				}
				moved <- struct{}{}
			}
		})
	}

	kills := 0
	for n := range cap(moved) {
		if <-moved; n%8 != 0 {
			continue
		}
		tag, err := killer.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2`)
		if err != nil {
			t.Error(err)
		}
		kills += int(tag.RowsAffected())
	}

	if kills == 0 {
		t.Error("nothing was killed")
	}
	riders.Wait()
	fresh := openStore(t, at)
	for i := range made {
		for _, ev := range made[i] {
			checkKeptOnce(t, fresh, ev)
		}
	}
}
