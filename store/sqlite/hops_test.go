package sqlite

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// openTraced opens a store that records the hops of every trip.
func openTraced(t testing.TB) (*Store, *tracing.Ring) {
	t.Helper()
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: "n1", Ratio: 1, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tracer.Close(context.Background()) })
	return openStore(t, Options{Relaxed: true, Tracer: tracer}), tracer.Ring()
}

// hopsByName returns the hops of a trip, by their names.
func hopsByName(r *tracing.Ring, id trips.TripID) map[string][]tracing.Recorded {
	all := map[string][]tracing.Recorded{}
	for _, h := range r.HopsOf(string(id)) {
		all[h.Name] = append(all[h.Name], h)
	}
	return all
}

// newTracedRequest is newRequest for a trip that has a UUID, as nodes name them.
func newTracedRequest(rider trips.RiderID) trips.Command {
	m := newRequest(rider, string(rider))
	m.Event.Trip.ID = trips.TripID(uuid.NewString())
	return m
}

func TestTheMovesOfABatchAreOneStatementInEachTrip(t *testing.T) {
	s, ring := openTraced(t)
	var batch []*job
	var ids []trips.TripID
	for _, rider := range []trips.RiderID{"ada", "bola", "chidi", "ada"} {
		m := newTracedRequest(rider)
		ids = append(ids, m.Event.Trip.ID)
		hop := s.hopOf(tracing.Statement, tracing.Request, m.Event.Trip.ID)
		batch = append(batch, &job{ctx: t.Context(), done: make(chan error, 1), hop: hop, do: func(tx *statements) error {
			if err := updateTripRow(tx, m.Event.Trip); err != nil {
				return err
			}
			hop.setMessage(tracing.EventID(1), 0)
			return nil
		}})
	}
	s.writer.runBatch(batch)

	spans := map[string]bool{}
	for _, id := range ids[:3] {
		hops := hopsByName(ring, id)
		if len(hops["statement"]) != 1 || len(hops["commit_wait"]) != 1 {
			t.Fatalf("hops %+v", hops)
		}
		statement := hops["statement"][0]
		spans[statement.Span] = true
		if statement.Key != "commit:event:1" || statement.Batch != 4 || statement.Phase != tracing.Request || hops["commit_wait"][0].Ended != statement.Began {
			t.Errorf("hops %+v", hops)
		}
	}
	if len(spans) != 1 {
		t.Errorf("%d spans for one commit", len(spans))
	}
	if hops := hopsByName(ring, ids[3]); len(hops["statement"]) != 1 || hops["statement"][0].Code != "refused" || hops["statement"][0].Key != "" {
		t.Errorf("a second trip of a rider: %+v", hops)
	}
}

func TestABatchThatFailsCommittedNothingForAnyTrip(t *testing.T) {
	s, ring := openTraced(t)
	id := trips.TripID(uuid.NewString())
	gone, leave := context.WithCancel(t.Context())
	j := &job{ctx: gone, done: make(chan error, 1), hop: s.hopOf(tracing.Statement, tracing.Request, id)}
	j.hop.setMessage(tracing.EventID(1), 0)
	leave() // its caller does not wait, and is not told
	s.writer.recordBatch([]*job{j}, errors.New("disk full"), time.Now(), time.Now())

	if hops := hopsByName(ring, id); len(hops["statement"]) != 1 || !hops["statement"][0].Failed || hops["statement"][0].Key != "" {
		t.Errorf("hops %+v", hops)
	}
}

func TestEachMoveMessageAndChargeHasItsCommit(t *testing.T) {
	s, ring := openTraced(t)
	m := newTracedRequest("ada")
	driver := trips.Driver("driver")
	ev, err := s.Apply(t.Context(), m)
	for _, move := range []trips.Transition{
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Reserve("driver", at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Arrive(driver, at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Start(driver, at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Complete(driver, at) },
	} {
		if err != nil {
			t.Fatal(err)
		}
		next, refusal := move(ev.Trip, ev.At)
		if refusal != nil {
			t.Fatal(refusal)
		}
		ev, err = s.Apply(t.Context(), trips.Command{Event: next, Key: trips.IdempotencyKey{Actor: next.By, ID: string(next.Kind)}})
	}
	message := chat.Message{Trip: ev.Trip.ID, From: trips.Rider("ada"), ClientID: "m1", Text: "I am at the gate", At: ev.At}
	charge := payments.Charge{Trip: ev.Trip.ID, Rider: "ada", Reference: "trip-1", Amount: trips.Money{Minor: 1, Currency: "NGN"}, At: ev.At}
	for range 2 { // both are sent again
		_, kept := s.AppendChat(t.Context(), message, "r")
		_, charged := s.RecordCharge(t.Context(), charge)
		if err := errors.Join(err, kept, charged); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // waits for what the writer records after its answer
		t.Fatal(err)
	}

	phases := map[string]tracing.Phase{"commit:event:1": tracing.Request, "commit:event:2": tracing.Accept, "commit:event:3": tracing.Arrive,
		"commit:event:4": tracing.Start, "commit:event:5": tracing.Complete, "commit:chat:1": tracing.Chat, "commit:receipt": tracing.Charge}
	known := 0
	for _, h := range ring.HopsOf(string(ev.Trip.ID)) {
		switch {
		case h.Key != "" && phases[h.Key] != h.Phase:
			t.Errorf("%s is in phase %s, or there twice", h.Key, h.Phase)
		case h.Code == "known":
			known++
		}
		delete(phases, h.Key)
	}
	if len(phases) > 0 || known != 2 {
		t.Errorf("no hop has %v; %d were sent again", phases, known)
	}
}
