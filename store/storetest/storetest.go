// Package storetest is one suite of tests for every store. Each engine runs it
// on the contracts that a node needs.
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

// Store is everything that one engine keeps.
type Store interface {
	trips.Store
	trips.Outbox
	chat.Store
	payments.Store
	payments.RefundStore
	sos.Store
	Auditor
	Resumer
}

// Resumer reads what phones that reconnect must hear; see store.Store.
type Resumer interface {
	// ResumeStates answers each query, in their order, and returns the charges
	// of the trips whose state is Paid. A query that finds no trip gets a zero
	// state. Without queries it returns none. The states of one call are read
	// in one snapshot.
	ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
		states []trips.ResumeState, receipts map[trips.TripID]payments.Charge, err error)
}

// Auditor streams whole tables, for a checker of invariants. A yield that
// returns an error ends the stream with it.
type Auditor interface {
	// AuditTrips yields every trip as the guards see it.
	AuditTrips(ctx context.Context, yield func(trips.Trip) error) error
	// AuditEvents yields every event with the number it is stored under, an
	// event after those it depends on.
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

// Run runs all stories. open returns a new empty store and leaves closing it to
// t.Cleanup.
func Run(t *testing.T, open func(t testing.TB) Store) {
	for _, chapter := range []struct {
		name    string
		stories []story
	}{
		{"moves", moveStories}, {"races", raceStories}, {"queries", queryStories}, {"outbox", outboxStories},
		{"chat", chatStories}, {"payments", paymentStories}, {"refunds", refundStories}, {"alerts", alertStories}, {"resume", resumeStories},
		{"text", textStories}, {"audit", auditStories}, {"model", modelStories},
	} {
		t.Run(chapter.name, func(t *testing.T) {
			for _, s := range chapter.stories {
				t.Run(s.name, func(t *testing.T) {
					s.run(&world{T: t, Store: open(t)})
				})
			}
		})
	}
}

type story struct {
	name string
	run  func(w *world)
}

// world is the store, the clock and the ids of one story.
type world struct {
	*testing.T
	Store
	serial atomic.Int64
}

// startTime is in a zone and has nanoseconds, neither of which a database
// keeps.
var startTime = time.Date(2026, 1, 2, 4, 4, 5, 123456789, time.FixedZone("WAT", 3600))

// nextTime returns a time a second later than the last one.
func (w *world) nextTime() time.Time {
	return startTime.Add(time.Duration(w.serial.Add(1)) * 1000000001)
}

// nextID returns a new id.
func (w *world) nextID(kind string) string { return fmt.Sprintf("%s-%d", kind, w.serial.Add(1)) }

var (
	here  = location.Point{Lng: 3.3792, Lat: 6.5244}
	there = location.Point{Lng: 3.4215, Lat: 6.4281}
	quote = trips.Quote{Metres: 12345.678, Duration: 25 * time.Minute,
		Fare: trips.Money{Minor: 334_700, Currency: "NGN"}, Source: "road", PickupOffRoad: 12, DropoffOffRoad: 345}
)

// newRequest returns a request that is not yet in the store.
func (w *world) newRequest(rider trips.RiderID) trips.Event {
	w.Helper()
	ev, err := trips.Request(trips.TripID(w.nextID("trip")), rider, here, there, quote, w.nextTime())
	if err != nil {
		w.Fatal(err)
	}
	return ev
}

// newMove returns the event's move under a command id of its own actor.
func newMove(id string, ev trips.Event) trips.Command {
	return trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: id, Fingerprint: string(ev.Kind)}, Event: ev}
}

// commitMove applies an event under a new key and returns the trip after it.
func (w *world) commitMove(ev trips.Event, err error) trips.Trip {
	w.Helper()
	if err == nil {
		ev, err = w.Apply(w.Context(), newMove(w.nextID("command"), ev))
	}
	if err != nil {
		w.Fatal(err)
	}
	return ev.Trip
}

// requestTrip opens a trip for a rider.
func (w *world) requestTrip(rider trips.RiderID) trips.Trip {
	w.Helper()
	return w.commitMove(w.newRequest(rider), nil)
}

// rideToOnTrip makes a trip whose rider is in the driver's car.
func (w *world) rideToOnTrip(rider trips.RiderID, driver trips.DriverID) trips.Trip {
	w.Helper()
	t := w.commitMove(w.requestTrip(rider).Reserve(driver, w.nextTime()))
	t = w.commitMove(t.Arrive(trips.Driver(driver), w.nextTime()))
	return w.commitMove(t.Start(trips.Driver(driver), w.nextTime()))
}

// completeRide makes a trip that is completed.
func (w *world) completeRide(rider trips.RiderID, driver trips.DriverID) trips.Trip {
	w.Helper()
	return w.commitMove(w.rideToOnTrip(rider, driver).Complete(trips.Driver(driver), w.nextTime()))
}

// mustReturn returns a value, or ends the story on an error.
func mustReturn[T any](w *world) func(T, error) T {
	return func(v T, err error) T {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
		return v
	}
}

// checkEqual reports two values that differ.
func checkEqual[T comparable](w *world, what string, got, want T) {
	w.Helper()
	if got != want {
		w.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// checkSame reports two lists that differ.
func checkSame[T comparable](w *world, what string, got, want []T) {
	w.Helper()
	checkEqual(w, what+", how many", len(got), len(want))
	for i := range min(len(got), len(want)) {
		checkEqual(w, fmt.Sprintf("%s, [%d]", what, i), got[i], want[i])
	}
}

// runAtOnce runs n calls at once and returns when all are back.
func runAtOnce(n int, call func(i int)) {
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
