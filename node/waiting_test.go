package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// waitingPair is two nodes whose messages arrive at once.
type waitingPair struct {
	one, two *waitingExchange
	waiting  []trips.Trip // at one
	now      time.Time
	sent     int
	away     error // of Redis
	silent   bool
}

func newWaitingPair() *waitingPair {
	p := &waitingPair{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	newExchange := func(name string) *waitingExchange {
		return &waitingExchange{node: name, log: slog.New(slog.DiscardHandler), told: map[string]toldList{}, heard: map[string]heardList{},
			ownersAround: func(location.Point, float64) []string { return []string{"one", "two"} },
			now:          func() time.Time { return p.now }, isSilent: func() bool { return p.silent },
			listWaiting: func(dst []trips.Trip) []trips.Trip { return append(dst, p.waiting...) },
			publish: func(_ context.Context, to events.Channel, m events.Message) error {
				if p.away != nil {
					return p.away
				}
				if p.sent++; to == events.NodeChannel("two") && m.Topic == topicWaiting {
					p.two.receiveList(m.Payload)
				}
				return nil
			}}
	}
	p.one, p.two = newExchange("one"), newExchange("two")
	return p
}

func (p *waitingPair) trip(n int) trips.Trip {
	return trips.Trip{ID: trips.TripID(fmt.Sprint("t", n)), State: trips.Requested, Pickup: location.Point{Lng: 3.4, Lat: 6.4},
		RequestedAt: p.now.Add(time.Duration(n) * time.Second)}
}

// step lets time pass, tells, and returns what the other node knows and how many
// messages that took.
func (p *waitingPair) step(t *testing.T, passed time.Duration) (known []trips.TripID, messages int) {
	t.Helper()
	p.now = p.now.Add(passed)
	before := p.sent
	p.one.tellChanges(t.Context())
	for _, trip := range p.two.listElsewhere() {
		known = append(known, trip.ID)
	}
	return known, p.sent - before
}

func TestOwnersTellEachOtherWhichTripsWait(t *testing.T) {
	p := newWaitingPair()
	first, second := p.trip(1), p.trip(2)
	for _, s := range []struct {
		name     string
		waiting  []trips.Trip
		passed   time.Duration
		away     error
		known    []trips.TripID
		messages int
	}{
		{"nothing waits", nil, time.Second, nil, nil, 0},
		{"one waits", []trips.Trip{first}, 0, nil, []trips.TripID{"t1"}, 1},
		{"it goes on waiting", []trips.Trip{first}, waitingEvery, nil, []trips.TripID{"t1"}, 0},
		{"for long", []trips.Trip{first}, waitingAgain, nil, []trips.TripID{"t1"}, 1},
		{"another waits", []trips.Trip{second, first}, waitingEvery, nil, []trips.TripID{"t1", "t2"}, 1},
		{"the same in another order", []trips.Trip{first, second}, waitingEvery, nil, []trips.TripID{"t1", "t2"}, 0},
		{"Redis is away", []trips.Trip{second}, waitingEvery, errors.New("away"), []trips.TripID{"t1", "t2"}, 0},
		{"and comes back", []trips.Trip{second}, waitingEvery, nil, []trips.TripID{"t2"}, 1},
		{"all have a driver", nil, waitingEvery, nil, nil, 1},
		{"nothing waits any more", nil, waitingAgain, nil, nil, 0},
		{"one waits again", []trips.Trip{first}, waitingEvery, nil, []trips.TripID{"t1"}, 1},
		{"the node is cut off", []trips.Trip{first}, waitingFor, errors.New("away"), nil, 0},
	} {
		p.waiting, p.away = s.waiting, s.away
		if known, messages := p.step(t, s.passed); !slices.Equal(known, s.known) || messages != s.messages {
			t.Errorf("%s: the other knows %v after %d messages, want %v after %d", s.name, known, messages, s.known, s.messages)
		}
	}
}

func TestBesideAnEarlierBuildOwnersDoNotTellWhatWaits(t *testing.T) {
	p := newWaitingPair()
	p.waiting, p.silent = []trips.Trip{p.trip(1)}, true
	if known, messages := p.step(t, 0); len(known) > 0 || messages > 0 {
		t.Errorf("%d messages, %v known", messages, known)
	}
}

func TestAListOfWaitingTripsIsBoundedAndBadOnesAreLeftOut(t *testing.T) {
	p := newWaitingPair()
	for n := range 2 * maxWaiting {
		p.waiting = append(p.waiting, p.trip(n))
	}
	known, _ := p.step(t, 0)
	if len(known) != maxWaiting || known[0] != "t0" || slices.Contains(known, "t900") {
		t.Errorf("%d trips are known, from %v on: the oldest count", len(known), known[0])
	}

	for _, bad := range []string{"", "{", "[]", `{"node":"two","trips":[]}`, `{"node":"three","trips":[{"id":"x","pickup":{"lng":3,"lat":91}}]}`} {
		p.two.receiveList([]byte(bad))
	}
	if got := p.two.listElsewhere(); len(got) != maxWaiting {
		t.Errorf("%d trips are known after unreadable messages", len(got))
	}
}
