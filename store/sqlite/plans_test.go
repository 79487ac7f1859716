package sqlite

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// runAllQueries calls every method once, so that all statements are prepared.
func runAllQueries(t *testing.T, s *Store) {
	t.Helper()
	ctx, trip := t.Context(), requestTrip(t, s, "ada")
	rider, driver := trips.Rider("ada"), trips.Driver("chidi")
	check := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	for i, verb := range []trips.Transition{
		func(t trips.Trip, _ time.Time) (trips.Event, error) { return t.Reserve("chidi", noon) },
		func(t trips.Trip, _ time.Time) (trips.Event, error) { return t.Arrive(driver, noon) },
		func(t trips.Trip, _ time.Time) (trips.Event, error) { return t.Start(driver, noon) },
		func(t trips.Trip, _ time.Time) (trips.Event, error) { return t.Complete(driver, noon) },
	} {
		check(s.ActiveTrip(ctx, rider))
		ev, err := verb(trip, noon)
		check(ev, err)
		ev, err = s.Apply(ctx, trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: string(rune('a' + i))}, Event: ev})
		check(ev, err)
		trip = ev.Trip
	}

	check(s.AppendChat(ctx, chat.Message{Trip: trip.ID, From: rider, ClientID: "1", Text: "bye", At: noon}, "region"))
	check(s.ChatHistory(ctx, trip.ID, 0, 10))
	check(s.UnchargedTrips(ctx, noon, 10))
	check(s.RecordCharge(ctx, payments.Charge{Trip: trip.ID, Rider: "ada", Reference: payments.ChargeReference(trip.ID),
		Amount: trip.Quote.Fare, At: noon}))
	check(s.Charge(ctx, trip.ID))
	check(s.RequestRefund(ctx, trip.ID, "by mistake", noon))
	check(s.OpenRefunds(ctx, noon, 10))
	check(s.FinishRefund(ctx, trip.ID, payments.RefundDone, "1", noon))
	check(s.RiderCharges(ctx, "ada", 10))
	check(s.Trip(ctx, trip.ID))
	check(s.Events(ctx, trip.ID, 0))
	check(s.OpenTrips(ctx, 10))
	check(s.TripsWithDriver(ctx))
	check(s.ListTrips(ctx, rider, noon, 10))
	check(s.ListTrips(ctx, driver, noon, 10))
	_, _, err := s.ResumeStates(ctx, []trips.ResumeQuery{{Who: rider, Trip: trip.ID}})
	check(nil, err)
	check(s.RecordedEvent(ctx, newRequest("ada", "ask").Key))
	check(s.AcquireShards(ctx, trips.ShardClaim{Holder: "relay", TTL: time.Hour}))
	told, err := s.PendingMessages(ctx, []int{0}, 10)
	check(told, err)
	check(nil, s.AdvanceCursor(ctx, "relay", told))
}

func TestNoQuestionOfABusyNodeReadsAWholeTableOrSorts(t *testing.T) {
	s := openStore(t, Options{Relaxed: true})
	runAllQueries(t, s)

	for _, statements := range []*statements{s.read, s.writer.stmts} {
		for query := range statements.prepared {
			for _, step := range explainPlan(t, s, query) {
				// The one row there is, and an index of nothing but open trips,
				// in order.
				harmless := step == "SCAN relay_shards" || step == "SCAN t USING INDEX trips_open" ||
					// The resume queries themselves.
					strings.HasPrefix(step, "SCAN q VIRTUAL TABLE")
				if strings.Contains(step, "TEMP B-TREE") || (strings.HasPrefix(step, "SCAN") && !harmless) {
					t.Errorf("%s\n%s", step, query)
				}
			}
		}
	}
}

// explainPlan returns the steps that SQLite would take.
func explainPlan(t *testing.T, s *Store, query string) (steps []string) {
	t.Helper()
	if !strings.Contains(query, "FROM") && !strings.HasPrefix(query, "UPDATE") {
		return nil
	}

	args := make([]any, 10)
	rows, err := s.readers.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args[:countParameters(query)]...)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer rows.Close()
	for rows.Next() {
		var a, b, c sql.NullInt64
		var step string
		if err := rows.Scan(&a, &b, &c, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}

	return steps
}

func countParameters(query string) int {
	for n := 9; n > 0; n-- {
		if strings.Contains(query, fmt.Sprint("?", n)) {
			return n
		}
	}
	return strings.Count(query, "?")
}
