package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

// TestAnAuditOfTheFileSeesTampering checks that the streams read what the
// guards look at, and not only the events.
func TestAnAuditOfTheFileSeesTampering(t *testing.T) {
	t.Parallel()

	for _, c := range []struct{ name, tamper, row string }{
		{"nothing", `SELECT 1`, ""},
		{"a row's driver", `UPDATE trips SET driver = 'dayo'`, `of driver "dayo"`},
		{"a row's state", `UPDATE trips SET state = 'cancelled'`, "the row says cancelled"},
		{"a row's version", `UPDATE trips SET version = 4`, "the row says completed, version 4"},
		{"a row's end", `UPDATE trips SET ended_at = NULL`, "the row says completed, version 5"},
		{"an event", `DELETE FROM trip_events WHERE seq = 3`, "event 4"},
		{"the last event", `DELETE FROM trip_events WHERE seq = 5`, "version 5, which has no event"},
		{"the charge", `DELETE FROM charges`, "not charged"},
		{"the amount", `UPDATE charges SET minor = 1`, "charged 0.01"},
		{"the talk", `UPDATE chat SET seq = 2`, "message 2 follows message 0"},
		{"the outbox", `INSERT INTO outbox (topic, region, kind, trip_id, payload, at) VALUES ('', '', '', '', '', 0)`,
			"1 outbox messages wait, the oldest since 1970"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t, Options{Relaxed: true})
			runAllQueries(t, s)
			mustExec(t, openRaw(t, s.path), c.tamper)

			report, err := audit.Run(t.Context(), s, audit.Config{Grace: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if (report.Violations() > 0) != (c.row != "") || !strings.Contains(report.Text(), c.row) {
				t.Errorf("nothing says %q in\n%s", c.row, report.Text())
			}
		})
	}
}

func TestAnAuditBesideABusyCityAccusesNobody(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{Relaxed: true})
	ctx, stop := context.WithCancel(t.Context())

	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := rideAndPay(s, fmt.Sprint("c", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}

	for seen := 0; seen < 50; {
		report, err := audit.Run(t.Context(), s, audit.Config{})
		if err != nil || report.Violations() != 0 {
			t.Errorf("%v\n%s", err, report.Text())
			break
		}
		seen = report.Trips
	}

	stop()
	all.Wait()
	if report, err := audit.Run(t.Context(), s, audit.Config{Grace: time.Hour}); err != nil || report.Violations() != 0 {
		t.Errorf("%v\n%s", err, report.Text())
	}
}

// rideAndPay makes a whole trip of a person who drives and rides under one
// name, with a word at the end.
func rideAndPay(s *Store, who string) error {
	var moves atomic.Int64
	moves.Store(5)
	if err := oneRide(s, who, &moves); err != nil {
		return err
	}
	ctx, rider := context.Background(), trips.Rider(trips.RiderID(who))

	rides, err := s.ListTrips(ctx, rider, time.Now().Add(time.Hour), 1)
	if err != nil || len(rides) != 1 {
		return errors.Join(err, fmt.Errorf("%d rides", len(rides)))
	}

	trip := rides[0]
	bye := chat.Message{Trip: trip.ID, From: rider, ClientID: "bye", Text: "bye", At: time.Now()}
	if _, err := s.AppendChat(ctx, bye, string(trip.Region)); err != nil {
		return err
	}

	_, err = s.RecordCharge(ctx, payments.Charge{Trip: trip.ID, Rider: trip.Rider, Reference: payments.ChargeReference(trip.ID),
		Amount: trip.Quote.Fare, At: time.Now()})
	return err
}
