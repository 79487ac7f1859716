package trips_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

var (
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	marina  = location.Point{Lng: 3.39, Lat: 6.45}
	airport = location.Point{Lng: 3.32, Lat: 6.58}
	quote   = trips.Quote{Metres: 9_000, Duration: 20 * time.Minute, Source: "road",
		Fare: trips.Money{Minor: 262_000, Currency: "NGN"}}
)

// The people of these tests: rider and driver belong to the trip, the others do
// not.
var people = map[string]trips.Actor{
	"rider": trips.Rider("ada"), "rider2": trips.Rider("bola"),
	"driver": trips.Driver("chidi"), "driver2": trips.Driver("dayo"),
	"system": trips.System("node-1"),
}

// transitions are all the ways to move a trip once it exists.
var transitions = map[string]func(t trips.Trip, by trips.Actor, at time.Time) (trips.Event, error){
	"reserve": func(t trips.Trip, by trips.Actor, at time.Time) (trips.Event, error) {
		return t.Reserve(trips.DriverID(by.ID), at)
	},
	"arrive":   trips.Trip.Arrive,
	"start":    trips.Trip.Start,
	"complete": trips.Trip.Complete,
	"expire": func(t trips.Trip, by trips.Actor, at time.Time) (trips.Event, error) {
		return t.Expire(by, "no driver found", at)
	},
	"cancel": func(t trips.Trip, by trips.Actor, at time.Time) (trips.Event, error) {
		return t.Cancel(by, "changed my mind", at)
	},
}

// paths lead a new trip to every place it can be in; a trip without a driver
// differs from one with.
var paths = map[string]string{
	"requested":               "",
	"reserved":                "driver reserve",
	"arrived":                 "driver reserve, driver arrive",
	"on_trip":                 "driver reserve, driver arrive, driver start",
	"completed":               "driver reserve, driver arrive, driver start, driver complete",
	"expired":                 "system expire",
	"cancelled_undriven":      "rider cancel",
	"cancelled_by_its_driver": "driver reserve, driver cancel",
}

// transitionTable is the specification, for every place, transition and actor:
// where the trip goes, or which error refuses it. Only drivers can be assigned
// a trip, so the rows of reserve have no other actors.
const transitionTable = `
place                    verb      rider      rider2     driver     driver2    system

requested                reserve   -          -          reserved   reserved   -
requested                arrive    not_yours  not_yours  not_yours  not_yours  not_yours
requested                start     not_yours  not_yours  not_yours  not_yours  not_yours
requested                complete  not_yours  not_yours  not_yours  not_yours  not_yours
requested                expire    not_yours  not_yours  not_yours  not_yours  expired
requested                cancel    cancelled  not_yours  not_yours  not_yours  cancelled

reserved                 reserve   -          -          bad_move   taken      -
reserved                 arrive    not_yours  not_yours  arrived    not_yours  not_yours
reserved                 start     not_yours  not_yours  bad_move   not_yours  not_yours
reserved                 complete  not_yours  not_yours  bad_move   not_yours  not_yours
reserved                 expire    not_yours  not_yours  not_yours  not_yours  bad_move
reserved                 cancel    cancelled  not_yours  cancelled  not_yours  cancelled

arrived                  reserve   -          -          bad_move   taken      -
arrived                  arrive    not_yours  not_yours  bad_move   not_yours  not_yours
arrived                  start     not_yours  not_yours  on_trip    not_yours  not_yours
arrived                  complete  not_yours  not_yours  bad_move   not_yours  not_yours
arrived                  expire    not_yours  not_yours  not_yours  not_yours  bad_move
arrived                  cancel    cancelled  not_yours  cancelled  not_yours  cancelled

on_trip                  reserve   -          -          bad_move   taken      -
on_trip                  arrive    not_yours  not_yours  bad_move   not_yours  not_yours
on_trip                  start     not_yours  not_yours  bad_move   not_yours  not_yours
on_trip                  complete  not_yours  not_yours  completed  not_yours  not_yours
on_trip                  expire    not_yours  not_yours  not_yours  not_yours  bad_move
on_trip                  cancel    bad_move   not_yours  bad_move   not_yours  cancelled

completed                reserve   -          -          bad_move   taken      -
completed                arrive    not_yours  not_yours  bad_move   not_yours  not_yours
completed                start     not_yours  not_yours  bad_move   not_yours  not_yours
completed                complete  not_yours  not_yours  bad_move   not_yours  not_yours
completed                expire    not_yours  not_yours  not_yours  not_yours  bad_move
completed                cancel    bad_move   not_yours  bad_move   not_yours  bad_move

expired                  reserve   -          -          bad_move   bad_move   -
expired                  arrive    not_yours  not_yours  not_yours  not_yours  not_yours
expired                  start     not_yours  not_yours  not_yours  not_yours  not_yours
expired                  complete  not_yours  not_yours  not_yours  not_yours  not_yours
expired                  expire    not_yours  not_yours  not_yours  not_yours  bad_move
expired                  cancel    bad_move   not_yours  not_yours  not_yours  bad_move

cancelled_undriven       reserve   -          -          bad_move   bad_move   -
cancelled_undriven       arrive    not_yours  not_yours  not_yours  not_yours  not_yours
cancelled_undriven       start     not_yours  not_yours  not_yours  not_yours  not_yours
cancelled_undriven       complete  not_yours  not_yours  not_yours  not_yours  not_yours
cancelled_undriven       expire    not_yours  not_yours  not_yours  not_yours  bad_move
cancelled_undriven       cancel    bad_move   not_yours  not_yours  not_yours  bad_move

cancelled_by_its_driver  reserve   -          -          bad_move   taken      -
cancelled_by_its_driver  arrive    not_yours  not_yours  bad_move   not_yours  not_yours
cancelled_by_its_driver  start     not_yours  not_yours  bad_move   not_yours  not_yours
cancelled_by_its_driver  complete  not_yours  not_yours  bad_move   not_yours  not_yours
cancelled_by_its_driver  expire    not_yours  not_yours  not_yours  not_yours  bad_move
cancelled_by_its_driver  cancel    bad_move   not_yours  bad_move   not_yours  bad_move
`

var refusals = map[string]error{
	"bad_move": trips.ErrBadMove, "not_yours": trips.ErrNotYours, "taken": trips.ErrTaken,
}

// cell is one entry of the table.
type cell struct{ place, verb, actor, want string }

func parseTable(t *testing.T) []cell {
	var head []string
	var cells []cell
	for line := range strings.Lines(transitionTable) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if head == nil {
			head = words
			continue
		}

		for i, want := range words[2:] {
			if want != "-" {
				cells = append(cells, cell{words[0], words[1], head[i+2], want})
			}
		}
	}

	if want := len(paths) * ((len(transitions)-1)*len(people) + 2); len(cells) != want {
		t.Fatalf("the table has %d cells, not %d: a place, verb or actor is missing", len(cells), want)
	}

	return cells
}

// tripAt returns a trip that took the path to a place.
func tripAt(t testing.TB, place string) trips.Trip {
	t.Helper()
	ev, err := trips.Request("trip-1", "ada", marina, airport, quote, noon)
	if err != nil {
		t.Fatal(err)
	}

	for step := range strings.SplitSeq(paths[place], ", ") {
		if step == "" {
			continue
		}
		who, verb, _ := strings.Cut(step, " ")
		if ev, err = transitions[verb](ev.Trip, people[who], ev.At.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}

	return ev.Trip
}

func TestEveryActorMovesATripFromEveryPlaceOnlyAsTheTableSays(t *testing.T) {
	for _, c := range parseTable(t) {
		t.Run(fmt.Sprintf("%s %s %s", c.actor, c.verb, c.place), func(t *testing.T) {
			from := tripAt(t, c.place)
			ev, err := transitions[c.verb](from, people[c.actor], noon.Add(time.Hour))
			if refusal := refusals[c.want]; refusal != nil {
				checkRefusal(t, ev, err, refusal)
				return
			}
			if err != nil || ev.Trip.State != trips.State(c.want) {
				t.Fatalf("got %q, %v, want %q", ev.Trip.State, err, c.want)
			}

			checkTransition(t, from, ev, people[c.actor])
		})
	}
}

// checkRefusal checks that the error is the one named and no other, and that
// nothing comes with it.
func checkRefusal(t *testing.T, ev trips.Event, err, want error) {
	t.Helper()
	if ev != (trips.Event{}) {
		t.Errorf("a refused move yields %+v", ev)
	}

	for name, e := range refusals {
		if errors.Is(err, e) != (e == want) {
			t.Errorf("%v: being %s is %v", err, name, errors.Is(err, e))
		}
	}

	var move *trips.MoveError
	if want != trips.ErrBadMove {
		return
	}
	if !errors.As(err, &move) || move.Trip != "trip-1" || move.From == "" || move.Move == "" {
		t.Errorf("%v does not say which trip, from where and by what", err)
	}
}

// checkTransition checks what every transition does besides changing the state.
func checkTransition(t *testing.T, from trips.Trip, ev trips.Event, by trips.Actor) {
	t.Helper()
	to := ev.Trip
	if to.Version != from.Version+1 || ev.Seq() != to.Version {
		t.Errorf("version %d follows %d, event number %d", to.Version, from.Version, ev.Seq())
	}
	if ev.By != by || !ev.At.Equal(noon.Add(time.Hour)) {
		t.Errorf("event is by %v at %v", ev.By, ev.At)
	}
	if to.State.IsActive() != to.EndedAt.IsZero() {
		t.Errorf("%s trip ended at %v", to.State, to.EndedAt)
	}
	if (to.Reason != "") != (to.State == trips.Cancelled || to.State == trips.Expired) {
		t.Errorf("%s trip has the reason %q", to.State, to.Reason)
	}
	if got := trips.NextStates[from.State][ev.Kind]; got != to.State {
		t.Errorf("Next takes %s by %s to %q, the verb to %q", from.State, ev.Kind, got, to.State)
	}
}

func TestNextHoldsExactlyTheMovesTheVerbsAllow(t *testing.T) {
	found := map[trips.State]map[trips.Kind]trips.State{"": {trips.KindRequested: trips.Requested}}
	for place := range paths {
		for _, verb := range transitions {
			for _, by := range people {
				from := tripAt(t, place)
				ev, err := verb(from, by, noon)
				if err != nil {
					continue
				}
				if found[from.State] == nil {
					found[from.State] = map[trips.Kind]trips.State{}
				}
				found[from.State][ev.Kind] = ev.Trip.State
			}
		}
	}

	if len(found) != len(trips.NextStates) {
		t.Errorf("moves lead out of %d states, Next has %d", len(found), len(trips.NextStates))
	}

	for from, moves := range trips.NextStates {
		if !maps.Equal(moves, found[from]) {
			t.Errorf("from %q Next has %v, the verbs %v", from, moves, found[from])
		}
	}
}

func TestAnEventIsNamedAfterWhoeverCancelled(t *testing.T) {
	for who, want := range map[string]trips.Kind{
		"rider": trips.KindRiderCancel, "driver": trips.KindDriverCancel, "system": trips.KindSystemCancel,
	} {
		ev, err := tripAt(t, "arrived").Cancel(people[who], "why not", noon)
		if err != nil || ev.Kind != want || ev.Trip.Reason != "why not" {
			t.Errorf("%s: %s because %q, %v", who, ev.Kind, ev.Trip.Reason, err)
		}
	}
}

func TestATripConcernsItsTwoPeopleAndTheSystemOnly(t *testing.T) {
	for who, by := range people {
		want := who == "rider" || who == "driver" || who == "system"
		if got := tripAt(t, "reserved").Concerns(by); got != want {
			t.Errorf("%s: %v", who, got)
		}
	}

	unassigned := trips.Trip{}
	if unassigned.Concerns(trips.Driver("")) {
		t.Error("a trip without a driver concerns the driver without a name")
	}
}
