package node

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// openNode opens a node on a database file and the embedded Redis. It does not
// run.
func openNode(t *testing.T, onTripEvent func(*Node, trips.Event)) *Node {
	t.Helper()
	var n *Node
	n, err := Open(t.Context(), Config{Name: "n", Listen: "127.0.0.1:0", City: "1", Speed: 1,
		Database: filepath.Join(t.TempDir(), "ridehail.db"), Secret: []byte("a secret of the test, long enough"),
		OnTripEvent: func(ev trips.Event) { onTripEvent(n, ev) }, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})

	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAPublishedTripEventIsFollowedBeforeAnyoneActsOnIt(t *testing.T) {
	var heard []sharedstate.Driver
	n := openNode(t, func(n *Node, ev trips.Event) {
		d, _ := n.drivers.Get(ev.Trip.Driver)
		heard = append(heard, d)
	})

	for _, state := range []trips.State{trips.Reserved, trips.OnTrip} {
		payload, err := json.Marshal(trips.Event{Trip: trips.Trip{ID: "t", Driver: "d", State: state}})
		if err != nil {
			t.Fatal(err)
		}
		n.OnMessage(events.Message{Topic: string(trips.TopicTrip), Payload: payload})
	}

	if len(heard) != 2 || heard[0].Status != sharedstate.Reserved || heard[1].Status != sharedstate.OnTrip {
		t.Errorf("when they heard of the events, the driver was %+v", heard)
	}
}

func TestARequestCountsAsDemand(t *testing.T) {
	n := openNode(t, func(*Node, trips.Event) {})
	at := location.Point{Lng: 3.4, Lat: 6.45}

	payload, err := json.Marshal(trips.Event{Kind: trips.KindRequested, At: time.Now(),
		Trip: trips.Trip{ID: "t", State: trips.Requested, Pickup: at}})
	if err != nil {
		t.Fatal(err)
	}

	n.OnMessage(events.Message{Topic: string(trips.TopicTrip), Payload: payload})
	if got := n.surge.requests["t"]; got != at {
		t.Errorf("surge counts %v", n.surge.requests)
	}
}

func TestATripEventThatCannotBeReadIsCounted(t *testing.T) {
	n := openNode(t, func(_ *Node, ev trips.Event) { t.Errorf("heard %+v", ev) })
	n.OnMessage(events.Message{Topic: string(trips.TopicTrip), Payload: []byte(`{"Trip":7}`)})
	if got, err := testutil.GatherAndCount(n.registry, "ridehail_gateway_drops_total"); got != 1 || err != nil {
		t.Errorf("%d reasons of drops, %v", got, err)
	}
}
