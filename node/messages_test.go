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
func openNode(t testing.TB, onTripEvent func(*Node, trips.Event)) *Node {
	t.Helper()
	var n *Node
	n = openNodeWith(t, Config{OnTripEvent: func(ev trips.Event) { onTripEvent(n, ev) }})
	return n
}

// openNodeWith opens such a node with some settings of its own.
func openNodeWith(t testing.TB, cfg Config) *Node {
	t.Helper()
	cfg.Name, cfg.Listen, cfg.City, cfg.Speed, cfg.Log = "n", "127.0.0.1:0", "1", 1, slog.New(slog.DiscardHandler)
	cfg.Database, cfg.Secret = filepath.Join(t.TempDir(), "ridehail.db"), []byte("a secret of the test, long enough")
	n, err := Open(t.Context(), cfg)
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

// TestOnAUsersChannelATripEventIsForThePhonesOnly: the owner of the region hears
// it on its own channel.
func TestOnAUsersChannelATripEventIsForThePhonesOnly(t *testing.T) {
	heard := 0
	n := openNode(t, func(*Node, trips.Event) { heard++ })
	payload, err := json.Marshal(trips.Event{Kind: trips.KindRequested,
		Trip: trips.Trip{ID: "t", Rider: "ada", Driver: "dayo", State: trips.OnTrip}})
	if err != nil {
		t.Fatal(err)
	}

	m := events.Message{Topic: string(trips.TopicTrip), Payload: payload, Channel: events.UserChannel(trips.Rider("ada"))}
	n.OnMessage(m)
	if heard != 0 || len(n.surge.requests) != 0 {
		t.Errorf("the owner's parts heard %d events and %d requests", heard, len(n.surge.requests))
	}
	if d, _ := n.drivers.Get("dayo"); d.Status != sharedstate.OnTrip {
		t.Errorf("the shared state did not follow: %+v", d)
	}

	m.Channel = events.NodeChannel("n")
	n.OnMessage(m)
	if heard != 1 || len(n.surge.requests) != 1 {
		t.Errorf("the owner's parts heard %d events and %d requests", heard, len(n.surge.requests))
	}
}

func TestTheNodeServesOnceItHearsItsOwnChannels(t *testing.T) {
	n := openNode(t, func(*Node, trips.Event) {})
	for _, step := range []struct {
		gap    events.Gap
		serves bool
	}{
		{events.Gap{Why: events.GapSubscribed, Channels: []events.Channel{events.Everyone, events.UserChannel(trips.Rider("ada"))}}, false},
		{events.Gap{Why: events.GapOverflowed}, false},
		{events.Gap{Why: events.GapSubscribed, Channels: []events.Channel{events.NodeChannel("n")}}, true},
		{events.Gap{Why: events.GapReconnected}, true}, // it is told only once
	} {
		n.OnGap(step.gap)
		if got := isClosed(n.subscribed); got != step.serves {
			t.Errorf("after %+v it serves: %v", step.gap, got)
		}
	}
}

func TestAGapOfAllChannelsConfirmsThem(t *testing.T) {
	n := openNode(t, func(*Node, trips.Event) {})
	n.news.isListening = func() bool { return true }
	joined := n.news.joinUser(trips.Rider("ada"))
	n.OnGap(events.Gap{Why: events.GapOverflowed})
	if isClosed(joined) {
		t.Error("an overflow confirms nothing")
	}
	n.OnGap(events.Gap{Why: events.GapReconnected})
	if !isClosed(joined) || !isClosed(n.subscribed) {
		t.Error("a connection on which all channels are subscribed confirms all")
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
