package postgres

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// openTraced opens a store that records the hops of every trip.
func openTraced(t testing.TB, at string) (*Store, *tracing.Ring) {
	t.Helper()
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: "n1", Ratio: 1, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tracer.Close(context.Background()) })

	s, err := Open(t.Context(), at, Options{Log: slog.New(slog.DiscardHandler), Tracer: tracer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, tracer.Ring()
}

// newTracedRequest is newRequest under a UUID, as nodes name their trips.
func newTracedRequest(t testing.TB, rider string) trips.Command {
	t.Helper()
	m := newRequest(t, rider)
	m.Event.Trip.ID = trips.TripID(uuid.NewString())
	return m
}

// hopsNamed returns the hops of a trip with a name, in the order in which they
// were recorded.
func hopsNamed(r *tracing.Ring, id trips.TripID, name string) (found []tracing.Recorded) {
	for _, h := range r.HopsOf(string(id)) {
		if h.Name == name {
			found = append(found, h)
		}
	}
	return found
}

// oneHop returns the one hop of a trip with a name.
func oneHop(t testing.TB, r *tracing.Ring, id trips.TripID, name string) tracing.Recorded {
	t.Helper()
	found := hopsNamed(r, id, name)
	if len(found) != 1 {
		t.Fatalf("%d hops %s in %+v", len(found), name, r.HopsOf(string(id)))
	}
	return found[0]
}

func TestAGroupOfThreeMovesIsOneStatementInThreeTrips(t *testing.T) {
	s, ring := openTraced(t, createDatabase(t))
	var group []*pendingMove
	for _, rider := range []string{"ada", "bola", "chidi"} {
		r, err := newMoveRow(newTracedRequest(t, rider))
		if err != nil {
			t.Fatal(err)
		}
		s.commits.markWaiting(r)
		group = append(group, &pendingMove{moveRow: r, done: make(chan outcome, 1)})
	}
	s.commits.commitGroup(group)

	spans := map[string]bool{}
	for _, w := range group {
		statement, wait := oneHop(t, ring, w.id, "statement"), oneHop(t, ring, w.id, "commit_wait")
		spans[statement.Span] = true
		if statement.Phase != tracing.Request || statement.Key != "commit:event:1" || statement.Batch != 3 || statement.Failed {
			t.Errorf("statement %+v", statement)
		}
		if wait.Ended != statement.Began || wait.Batch != 3 {
			t.Errorf("waited %+v before %+v", wait, statement)
		}
	}
	if len(spans) != 1 {
		t.Errorf("%d spans for one statement", len(spans))
	}
}

func TestTwoMovesOfOneRiderInAGroupAreAConflictThatIsRecorded(t *testing.T) {
	s, ring := openTraced(t, createDatabase(t))
	first, second := newTracedRequest(t, "ada"), newTracedRequest(t, "ada")
	second.Key.ID = "second request"
	var group []*pendingMove
	for _, m := range []trips.Command{first, second} {
		r, err := newMoveRow(m)
		if err != nil {
			t.Fatal(err)
		}
		s.commits.markWaiting(r)
		group = append(group, &pendingMove{moveRow: r, done: make(chan outcome, 1)})
	}
	s.commits.commitGroup(group)

	if h := oneHop(t, ring, first.Event.Trip.ID, "statement"); h.Batch > 1 || h.Key != "commit:event:1" {
		t.Errorf("the first: %+v", h)
	}
	if h := oneHop(t, ring, second.Event.Trip.ID, "commit_wait"); !h.Failed || h.Code != "conflict" {
		t.Errorf("the second: %+v", h)
	}
}

func TestALostReplyShowsAFailedStatementAndTheReadThatFoundIt(t *testing.T) {
	p, at := startProxy(t, createDatabase(t))
	s, ring := openTraced(t, at)
	m := newTracedRequest(t, "ada")
	p.cutNext(1, theReply, "request of ada")
	applyMove(t, s, m)
	p.checkAllCut()
	s.Close() // waits for what committers record after their answer

	if h := oneHop(t, ring, m.Event.Trip.ID, "statement"); !h.Failed || h.Code != "unavailable" || h.Key != "" {
		t.Errorf("the statement: %+v", h)
	}
	if h := oneHop(t, ring, m.Event.Trip.ID, "read_back"); h.Code != "made" || h.Key != "commit:event:1" || h.Failed {
		t.Errorf("read back: %+v", h)
	}
}

func TestALostRequestIsSentAgainAndOneStatementHasTheKey(t *testing.T) {
	p, at := startProxy(t, createDatabase(t))
	s, ring := openTraced(t, at)
	m := newTracedRequest(t, "ada")
	p.cutNext(1, theRequest, "request of ada")
	applyMove(t, s, m)
	p.checkAllCut()
	s.Close()

	statements, keyed := hopsNamed(ring, m.Event.Trip.ID, "statement"), 0
	for _, h := range statements {
		if h.Key != "" {
			keyed++
		}
		if h.Failed != (h.Key == "") {
			t.Errorf("statement %+v", h)
		}
	}
	if len(statements) != 2 || keyed != 1 {
		t.Errorf("%d statements, %d with a key", len(statements), keyed)
	}
	if h := oneHop(t, ring, m.Event.Trip.ID, "read_back"); h.Code != "not_made" {
		t.Errorf("read back: %+v", h)
	}
}

// completeTrip takes a trip from its request to its end.
func completeTrip(t testing.TB, s *Store, m trips.Command) trips.Trip {
	t.Helper()
	driver := trips.Driver("driver")
	trip := applyMove(t, s, m).Trip
	for _, move := range []trips.Transition{
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Reserve("driver", at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Arrive(driver, at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Start(driver, at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Complete(driver, at) },
	} {
		ev, err := move(trip, dawn)
		if err != nil {
			t.Fatal(err)
		}
		trip = applyMove(t, s, trips.Command{Event: ev, Key: trips.IdempotencyKey{Actor: ev.By, ID: string(ev.Kind)}}).Trip
	}
	return trip
}

func TestEachMoveMessageAndChargeHasItsCommit(t *testing.T) {
	s, ring := openTraced(t, createDatabase(t))
	m := newTracedRequest(t, "ada")
	trip := completeTrip(t, s, m)
	message := chat.Message{Trip: trip.ID, From: trips.Rider("ada"), ClientID: "m1", Text: "I am at the gate", At: dawn}
	for range 2 {
		if _, err := s.AppendChat(t.Context(), message, "r"); err != nil {
			t.Fatal(err)
		}
		message.At = message.At.Add(time.Second) // the phone sends it again
	}
	charge := payments.Charge{Trip: trip.ID, Rider: "ada", Reference: "trip-1", Amount: trips.Money{Minor: 1, Currency: "NGN"}, At: dawn}
	for range 2 {
		if _, err := s.RecordCharge(t.Context(), charge); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()

	phases := map[string]tracing.Phase{"commit:event:1": tracing.Request, "commit:event:2": tracing.Accept, "commit:event:3": tracing.Arrive,
		"commit:event:4": tracing.Start, "commit:event:5": tracing.Complete, "commit:chat:1": tracing.Chat, "commit:receipt": tracing.Charge}
	for _, h := range ring.HopsOf(string(trip.ID)) {
		if h.Key == "" {
			continue
		}
		if phases[h.Key] != h.Phase {
			t.Errorf("%s is in phase %s", h.Key, h.Phase)
		}
		delete(phases, h.Key)
	}
	if len(phases) > 0 {
		t.Errorf("no hop has %v", phases)
	}
	if again := hopsNamed(ring, trip.ID, "charge_recorded"); len(again) != 2 || again[1].Code != "known" {
		t.Errorf("charged %+v", again)
	}
}

func TestATripThatIsNotSampledReadsNoClock(t *testing.T) {
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: "n1", Ratio: 1e-12, Now: func() time.Time {
		t.Error("the clock is read")
		return time.Now()
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tracer.Close(context.Background()) }()
	s, err := Open(t.Context(), createDatabase(t), Options{Log: slog.New(slog.DiscardHandler), Tracer: tracer})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	applyMove(t, s, newTracedRequest(t, "ada"))
}

func TestFailuresOfAServerHaveShortCodes(t *testing.T) {
	for want, err := range map[string]error{"": nil, "timeout": context.DeadlineExceeded, "cancelled": context.Canceled, "unavailable": pgx.ErrTxClosed} {
		if code, reason := explainFailure(err); code != want || (reason == "") != (err == nil) {
			t.Errorf("%v: %s, %q", err, code, reason)
		}
	}
}
