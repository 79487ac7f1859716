package sos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
)

var (
	noon          = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rider, driver = trips.Rider("ada"), trips.Driver("chidi")
	car           = sos.Place{Point: location.Point{Lng: 3.38, Lat: 6.45}, At: noon}
)

// fixture is the service under test, the store behind it, and a clock.
type fixture struct {
	*sos.Service
	store    *faulty.Store
	trips    *trips.Service
	now      time.Time
	commands int
}

func newFixture() *fixture {
	c := &fixture{store: faulty.New(1), now: noon}
	now := func() time.Time { return c.now }
	c.trips = &trips.Service{Store: c.store, Now: now}
	c.Service = &sos.Service{Store: c.store, Trips: c.store, Now: now,
		CarPosition: func(id trips.DriverID) (sos.Place, bool) { return car, id == "chidi" }}
	return c
}

// reserveTrip returns a trip that has been reserved.
func (c *fixture) reserveTrip(t *testing.T) trips.TripID {
	t.Helper()
	quote := trips.Quote{Fare: trips.Money{Minor: 1, Currency: "NGN"}}
	ev, err := c.trips.RequestTrip(t.Context(), trips.IdempotencyKey{Actor: rider, ID: "request"}, "ada", car.Point, car.Point, quote)
	if err != nil {
		t.Fatal(err)
	}

	c.applyTransition(t, ev.Trip.ID, driver, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve("chidi", at) })
	return ev.Trip.ID
}

func (c *fixture) applyTransition(t *testing.T, id trips.TripID, by trips.Actor, verb trips.Transition) {
	t.Helper()
	c.commands++
	if _, err := c.trips.Apply(t.Context(), trips.IdempotencyKey{Actor: by, ID: fmt.Sprint(c.commands)}, id, verb); err != nil {
		t.Fatal(err)
	}
}

func TestACallCarriesTheTextAndThePlaceOfTheCar(t *testing.T) {
	c := newFixture()
	id := c.reserveTrip(t)
	for _, who := range []trips.Actor{rider, driver} {
		a, err := c.RequestHelp(t.Context(), who, id, "c1", "he does not stop\n")
		if err != nil || a.Car != car || a.Text != "he does not stop\n" || a.From != who || a.Trip != id || a.ID == "" {
			t.Errorf("%v: %+v, %v", who, a, err)
		}
	}

	if _, err := c.RequestHelp(t.Context(), rider, id, "c2", ""); err != nil {
		t.Errorf("a call without words: %v", err)
	}
}

func TestOnlyTheTwoOfATripCallAndNotForEver(t *testing.T) {
	c := newFixture()
	id := c.reserveTrip(t)

	// The right ids in the wrong roles.
	swapped := []trips.Actor{trips.Rider("chidi"), trips.Driver("ada")}
	for _, who := range append(swapped, trips.Rider("bola"), trips.Driver(""), trips.System("node"), trips.Actor{}) {
		if _, err := c.RequestHelp(t.Context(), who, id, "c1", ""); !errors.Is(err, trips.ErrNotYours) {
			t.Errorf("%v: %v", who, err)
		}
	}

	if _, err := c.RequestHelp(t.Context(), rider, "none", "c1", ""); !errors.Is(err, trips.ErrNotFound) {
		t.Error(err)
	}
	c.applyTransition(t, id, rider, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Cancel(rider, "", at) })
	c.now = c.now.Add(sos.OpenAfterTrip)
	if _, err := c.RequestHelp(t.Context(), rider, id, "c2", ""); err != nil {
		t.Errorf("an hour after the trip: %v", err)
	}
	c.now = c.now.Add(time.Nanosecond)
	if _, err := c.RequestHelp(t.Context(), rider, id, "c3", ""); !errors.Is(err, sos.ErrClosed) {
		t.Errorf("later: %v", err)
	}
}

func TestWordsAreBoundedAndPrintable(t *testing.T) {
	c := newFixture()
	id := c.reserveTrip(t)
	if _, err := c.RequestHelp(t.Context(), rider, id, "long", strings.Repeat("ש", sos.MaxRunes)); err != nil {
		t.Error(err)
	}

	for _, text := range []string{strings.Repeat("x", sos.MaxRunes+1), "\x00", "bell \a", "\xff"} {
		if _, err := c.RequestHelp(t.Context(), rider, id, "bad", text); !errors.Is(err, sos.ErrBadText) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestACallIsKeptAsAnOperatorCanReadIt(t *testing.T) {
	c := newFixture()
	id := c.reserveTrip(t)
	i := 0
	for written, want := range map[string]string{
		"at the\r\nbridge": "at the\nbridge", "\u202ehelp": "help", "\u200b\u3164": "", " \n": "",
	} {
		c.now = c.now.Add(time.Minute)
		a, err := c.RequestHelp(t.Context(), rider, id, fmt.Sprint(i), written)
		if err != nil || a.Text != want {
			t.Errorf("%+q is kept as %+q, %v", written, a.Text, err)
		}

		again, err := c.RequestHelp(t.Context(), rider, id, fmt.Sprint(i), written)
		if err != nil || again != a {
			t.Errorf("sent again, %+q is %+v, %v", written, again, err)
		}
		i++
	}
}

func TestACallThatAnEarlierBuildKeptIsTheSameWhenSentAgain(t *testing.T) {
	c := newFixture()
	id := c.reserveTrip(t)
	raw := sos.Alert{ID: "a1", Trip: id, From: rider, ClientID: "c1", Text: "\u202ehelp", At: c.now}
	if _, err := c.store.AddAlert(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	if a, err := c.RequestHelp(t.Context(), rider, id, "c1", raw.Text); err != nil || a.ID != "a1" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := c.RequestHelp(t.Context(), rider, id, "c1", "\u202eother"); !errors.Is(err, trips.ErrKeyReused) {
		t.Errorf("other words: %v", err)
	}
}

func TestAFewCallsAMinuteAreKeptAndARepeatedOneIsAlwaysAnswered(t *testing.T) {
	c := newFixture()
	id := c.reserveTrip(t)
	for i := range sos.MaxCallsPerMinute {
		if _, err := c.RequestHelp(t.Context(), rider, id, fmt.Sprint(i), ""); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := c.RequestHelp(t.Context(), rider, id, "more", ""); !errors.Is(err, sos.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if _, err := c.RequestHelp(t.Context(), rider, id, "0", ""); err != nil {
		t.Errorf("the first one again: %v", err)
	}
	if _, err := c.RequestHelp(t.Context(), driver, id, "0", ""); err != nil {
		t.Errorf("the other person: %v", err)
	}

	c.now = c.now.Add(time.Minute)
	if _, err := c.RequestHelp(t.Context(), rider, id, "more", ""); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// recordingQueue records jobs, and fails if told to.
type recordingQueue struct {
	jobs []string
	err  error
}

func (q *recordingQueue) EnqueueJob(_ context.Context, stream, id string, payload []byte) error {
	if stream != "alerts" || id != string(payload) {
		return fmt.Errorf("job %s on %s: %s", id, stream, payload)
	}
	q.jobs = append(q.jobs, id)
	return q.err
}

func TestACallWhoseJobGotLostIsQueuedAgainUntilItIsRaised(t *testing.T) {
	c, q, log := newFixture(), &recordingQueue{}, new(bytes.Buffer)
	id := c.reserveTrip(t)
	registry := prometheus.NewRegistry()
	w := sos.NewNotifier(sos.NotifierConfig{Store: c.store, Queue: q, Stream: "alerts", Registerer: registry,
		Now: func() time.Time { return c.now }, Log: slog.New(slog.NewTextHandler(log, nil))})
	look := func(after time.Duration, want int) {
		t.Helper()
		c.now = c.now.Add(after)
		if n, err := w.RequeueLost(t.Context()); n != want || !errors.Is(err, q.err) {
			t.Errorf("%d queued, %v; want %d", n, err, want)
		}
	}

	metrics := func(open, oldest, raised int) {
		t.Helper()
		want := fmt.Sprintf(`# HELP ridehail_alerts_oldest_seconds Age of the oldest call for help that no operator acknowledged; 0 when there is none.
# TYPE ridehail_alerts_oldest_seconds gauge
ridehail_alerts_oldest_seconds %d
# HELP ridehail_alerts_open Calls for help that no operator acknowledged, of all nodes.
# TYPE ridehail_alerts_open gauge
ridehail_alerts_open %d
# HELP ridehail_alerts_raised_total Calls for help that this node told the operators of.
# TYPE ridehail_alerts_raised_total counter
ridehail_alerts_raised_total %d
`, oldest, open, raised)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}

	look(0, 0)
	a, err := c.RequestHelp(t.Context(), rider, id, "1", "secret words")
	if err != nil {
		t.Fatal(err)
	}

	look(3*time.Second, 0) // its own job has the time to be done
	q.err = errors.New("no Redis")
	look(time.Second, 0)
	q.err = nil
	look(0, 1)
	look(3*time.Second, 0)
	look(time.Second, 1)
	metrics(1, 8, 0)

	for range 2 {
		if err := w.HandleJob(t.Context(), string(id), []byte(id)); err != nil {
			t.Fatal(err)
		}
	}

	look(time.Minute, 0)
	metrics(1, 68, 1)
	if _, err := c.store.AcknowledgeAlert(t.Context(), a.ID, c.now); err != nil {
		t.Fatal(err)
	}
	look(0, 0)
	metrics(0, 0, 1)
	if s := log.String(); strings.Contains(s, "secret") || strings.Count(s, a.ID) != 1 {
		t.Errorf("logged %s", s)
	}
}
