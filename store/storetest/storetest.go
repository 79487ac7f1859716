// Package storetest holds every store to its word: one suite of stories for trips.Store, trips.Outbox, chat.Store,
// payments.Store, payments.Refunds and sos.Store, run on each engine.
package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// Store is all that one engine keeps.
type Store interface {
	trips.Store
	trips.Outbox
	chat.Store
	payments.Store
	payments.Refunds
	sos.Store
	Auditor
	Resumer
}

// Resumer reads what phones that reconnect must hear; see store.Store.
type Resumer interface {
	// ResumeStates answers each query, in their order, and returns the charges
	// of the trips whose state is Paid. A query that finds no trip gets a zero
	// state. Without queries it returns none. The states of one call are read in
	// one snapshot.
	ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
		states []trips.ResumeState, receipts map[trips.TripID]payments.Charge, err error)
}

// Auditor streams whole tables, for a checker of invariants. A yield that returns an error ends the stream with it.
type Auditor interface {
	// AuditTrips yields every trip as the guards see it.
	AuditTrips(ctx context.Context, yield func(trips.Trip) error) error
	// AuditEvents yields every event with the number it is stored under, an event after those it depends on.
	AuditEvents(ctx context.Context, yield func(seq uint32, ev trips.Event) error) error
	// AuditChat yields every message by trip and number.
	AuditChat(ctx context.Context, yield func(chat.Message) error) error
	// AuditCharges yields every charge by trip.
	AuditCharges(ctx context.Context, yield func(payments.Charge) error) error
	// AuditRefunds yields every refund by trip.
	AuditRefunds(ctx context.Context, yield func(payments.Refund) error) error
	// AuditAlerts yields every call for help by time.
	AuditAlerts(ctx context.Context, yield func(sos.Alert) error) error
}

// Run tells all stories. open returns a new empty store and leaves closing it to t.Cleanup.
func Run(t *testing.T, open func(t testing.TB) Store) {
	for _, chapter := range []struct {
		name    string
		stories []story
	}{
		{"moves", moves}, {"races", races}, {"queries", queries}, {"outbox", outbox},
		{"chat", chats}, {"payments", paid}, {"refunds", refunded}, {"alerts", alarms}, {"resume", resumeStories},
		{"audit", audits}, {"model", models},
	} {
		t.Run(chapter.name, func(t *testing.T) {
			for _, s := range chapter.stories {
				t.Run(s.name, func(t *testing.T) {
					s.tell(&world{T: t, Store: open(t)})
				})
			}
		})
	}
}

type story struct {
	name string
	tell func(w *world)
}

// world is a story's store, clock and counter of ids.
type world struct {
	*testing.T
	Store
	serial atomic.Int64
}

// dawn is in a zone and has nanoseconds, neither of which a database keeps.
var dawn = time.Date(2026, 1, 2, 4, 4, 5, 123456789, time.FixedZone("WAT", 3600))

// tick is a second later than all earlier ones.
func (w *world) tick() time.Time {
	return dawn.Add(time.Duration(w.serial.Add(1)) * 1000000001)
}

func (w *world) id(kind string) string { return fmt.Sprintf("%s-%d", kind, w.serial.Add(1)) }

var (
	here  = location.Point{Lng: 3.3792, Lat: 6.5244}
	there = location.Point{Lng: 3.4215, Lat: 6.4281}
	quote = trips.Quote{Metres: 12345.678, Duration: 25 * time.Minute,
		Fare: trips.Money{Minor: 334_700, Currency: "NGN"}, Source: "road"}
)

// asked is a request that was not handed in yet.
func (w *world) asked(rider trips.RiderID) trips.Event {
	w.Helper()
	ev, err := trips.Request(trips.TripID(w.id("trip")), rider, here, there, quote, w.tick())
	if err != nil {
		w.Fatal(err)
	}
	return ev
}

// keyed is the event under a command id, asked for by whom the event is.
func keyed(id string, ev trips.Event) trips.Move {
	return trips.Move{Key: trips.Key{Actor: ev.By, ID: id, Print: string(ev.Kind)}, Event: ev}
}

// commit applies what a verb returned under a new key and returns the trip after it.
func (w *world) commit(ev trips.Event, err error) trips.Trip {
	w.Helper()
	if err == nil {
		ev, err = w.Apply(w.Context(), keyed(w.id("command"), ev))
	}
	if err != nil {
		w.Fatal(err)
	}
	return ev.Trip
}

// request opens a trip for a rider.
func (w *world) request(rider trips.RiderID) trips.Trip {
	w.Helper()
	return w.commit(w.asked(rider), nil)
}

// onTrip brings a rider into a driver's car.
func (w *world) onTrip(rider trips.RiderID, driver trips.DriverID) trips.Trip {
	w.Helper()
	t := w.commit(w.request(rider).Reserve(driver, w.tick()))
	t = w.commit(t.Arrive(trips.Driver(driver), w.tick()))
	return w.commit(t.Start(trips.Driver(driver), w.tick()))
}

// ride is a whole one.
func (w *world) ride(rider trips.RiderID, driver trips.DriverID) trips.Trip {
	w.Helper()
	return w.commit(w.onTrip(rider, driver).Complete(trips.Driver(driver), w.tick()))
}

// try ends the story when err is not nil.
func try[T any](w *world) func(T, error) T {
	return func(v T, err error) T {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
		return v
	}
}

// equal complains when two values differ.
func equal[T comparable](w *world, what string, got, want T) {
	w.Helper()
	if got != want {
		w.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// same complains when two lists differ.
func same[T comparable](w *world, what string, got, want []T) {
	w.Helper()
	equal(w, what+", how many", len(got), len(want))
	for i := range min(len(got), len(want)) {
		equal(w, fmt.Sprintf("%s, [%d]", what, i), got[i], want[i])
	}
}

// crowd runs n calls at once and returns when all are back. A call that fails the story ends; the others go on.
func crowd(n int, call func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	all.Wait()
}
