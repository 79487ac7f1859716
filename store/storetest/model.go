package storetest

import (
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/trips"
)

var modelStories = []story{
	{"a store does what the state machine says, for any commands in any order", randomMoves},
}

// model is what the store should hold: three riders, two drivers, and all
// versions of their trips.
type model struct {
	w       *world
	prefix  string
	history map[trips.TripID][]trips.Event
	ids     []trips.TripID
	sent    []trips.Command // commands that were committed
	answers []trips.Event   // and what they led to
}

func randomMoves(w *world) {
	rapid.Check(w.T, func(r *rapid.T) {
		m := &model{w: w, prefix: w.nextID("city"), history: map[trips.TripID][]trips.Event{}}
		r.Repeat(map[string]func(*rapid.T){
			"ask":    m.requestTrip,
			"move":   m.moveTrip,
			"resend": m.resendCommand,
			"":       m.checkTrips,
		})
	})
}

func (m *model) drawPerson(r *rapid.T, kind string, n int) string {
	return fmt.Sprint(m.prefix, "-", kind, "-", rapid.IntRange(1, n).Draw(r, kind))
}

// activeTrip returns the trip that binds an actor.
func (m *model) activeTrip(a trips.Actor) (trips.Trip, bool) {
	for _, id := range m.ids {
		evs := m.history[id]
		if t := evs[len(evs)-1].Trip; t.State.IsActive() && a.Role != trips.RoleSystem && t.Concerns(a) {
			return t, true
		}
	}
	return trips.Trip{}, false
}

func (m *model) requestTrip(r *rapid.T) {
	rider := trips.RiderID(m.drawPerson(r, "rider", 3))
	var want error
	if _, busy := m.activeTrip(trips.Rider(rider)); busy {
		want = trips.ErrRiderBusy
	}
	m.applyAndRecord(r, m.w.newRequest(rider), want)
}

// moveTrip tries any transition of any version of any trip.
func (m *model) moveTrip(r *rapid.T) {
	if len(m.ids) == 0 {
		r.Skip("no trip yet")
	}
	evs := m.history[rapid.SampledFrom(m.ids).Draw(r, "trip")]
	back := rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(r, "versions back")
	t := evs[max(0, len(evs)-1-back)].Trip

	ev, err := m.drawTransition(r, t)
	if err != nil {
		return // illegal: trips.Service would not have asked the store
	}

	var want error
	_, busy := m.activeTrip(trips.Driver(ev.Trip.Driver))
	switch {
	case int(t.Version) != len(evs):
		want = trips.ErrConflict
	case ev.Kind == trips.KindReserved && busy:
		want = trips.ErrTaken
	}

	m.applyAndRecord(r, ev, want)
}

func (m *model) drawTransition(r *rapid.T, t trips.Trip) (trips.Event, error) {
	driver, at := trips.DriverID(m.drawPerson(r, "driver", 2)), m.w.nextTime()
	if t.Driver != "" && rapid.Bool().Draw(r, "its own driver") {
		driver = t.Driver
	}

	by := rapid.SampledFrom([]trips.Actor{trips.Driver(driver), trips.Rider(t.Rider), trips.System("node")}).Draw(r, "by")
	switch rapid.SampledFrom([]string{"reserve", "arrive", "start", "complete", "cancel", "expire"}).Draw(r, "verb") {
	case "reserve":
		return t.Reserve(driver, at)
	case "arrive":
		return t.Arrive(trips.Driver(driver), at)
	case "start":
		return t.Start(trips.Driver(driver), at)
	case "complete":
		return t.Complete(trips.Driver(driver), at)
	case "cancel":
		return t.Cancel(by, "any", at)
	}

	return t.Expire(trips.System("node"), "no driver found", at)
}

func (m *model) applyAndRecord(r *rapid.T, ev trips.Event, want error) {
	move := newMove(m.w.nextID(m.prefix), ev)
	got, err := m.w.Apply(m.w.Context(), move)
	if !errors.Is(err, want) {
		r.Fatalf("%s: got %v, want %v", ev.Kind, err, want)
	}
	if err != nil {
		return
	}

	id := ev.Trip.ID
	if m.history[id] == nil {
		m.ids = append(m.ids, id)
	}
	m.history[id] = append(m.history[id], got)
	m.sent, m.answers = append(m.sent, move), append(m.answers, got)
}

// resendCommand repeats any earlier command, as it was or asking for something
// else.
func (m *model) resendCommand(r *rapid.T) {
	if len(m.sent) == 0 {
		r.Skip("nothing sent yet")
	}
	i := rapid.IntRange(0, len(m.sent)-1).Draw(r, "command")

	move := m.sent[i]
	if rapid.Bool().Draw(r, "for something else") {
		move.Key.Fingerprint += " or not"
		if _, err := m.w.Apply(m.w.Context(), move); !errors.Is(err, trips.ErrKeyReused) {
			r.Fatalf("got %v, want a key reused", err)
		}
		return
	}

	if got, err := m.w.Apply(m.w.Context(), move); err != nil || got != m.answers[i] {
		r.Fatalf("answered %+v, %v; the first time %+v", got, err, m.answers[i])
	}
}

// checkTrips compares every trip and every person's active trip.
func (m *model) checkTrips(r *rapid.T) {
	ctx := m.w.Context()
	if len(m.ids) == 0 {
		return
	}
	id := rapid.SampledFrom(m.ids).Draw(r, "look at")

	want := m.history[id]
	evs, err := m.w.Events(ctx, id, 0)
	if err != nil || fmt.Sprint(evs) != fmt.Sprint(want) {
		r.Fatalf("events %+v, %v; want %+v", evs, err, want)
	}
	if t, err := m.w.Trip(ctx, id); err != nil || t != want[len(want)-1].Trip {
		r.Fatalf("trip %+v, %v", t, err)
	}

	for _, a := range []trips.Actor{trips.Rider(trips.RiderID(m.drawPerson(r, "rider", 3))),
		trips.Driver(trips.DriverID(m.drawPerson(r, "driver", 2)))} {
		want, has := m.activeTrip(a)
		if t, err := m.w.ActiveTrip(ctx, a); t != want || (err == nil) != has {
			r.Fatalf("%s has %+v, %v; want %+v", a, t, err, want)
		}
	}
}
