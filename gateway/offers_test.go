package gateway

import (
	"testing"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// gatedPair is two nodes that share a store; commits of the first go through a
// gate.
func gatedPair(t *testing.T) (a, b *town, store *gate) {
	a, store = gatedTown(t, nil)
	b = newTown(t, func(cfg *Config) {
		cfg.Store = a.store
		cfg.Trips = &trips.Service{Store: a.store, Now: cfg.Now}
	})
	return a, b, store
}

func TestAnAcceptRepeatedOnAnotherNodeWaitsForTheFirst(t *testing.T) {
	a, b, store := gatedPair(t)
	id := a.request("r")
	first := a.connect(trips.Driver("d"), asProto, nil)
	a.offer("o", "d", id)
	open := store.close()
	first.command("accept", answerFrame("o", true))

	a.until("the first commits", func() bool { return store.held() == 1 })
	first.conn.Close()
	second := b.connect(trips.Driver("d"), asJSONText, nil)
	second.command("accept", answerFrame("o", true))
	second.settled()
	open()
	if ack := second.answer("accept", 1); ack.Code != "" || ack.Trip.GetDriverId() != "d" || ack.Trip.GetVersion() != 2 {
		t.Errorf("answered %v", ack)
	}
}

// The first node hangs. What the second one says must hold, also when the first
// goes on.
func TestAnAcceptRefusedOnAnotherNodeIsNotDoneLater(t *testing.T) {
	a, b, store := gatedPair(t)
	id := a.request("r")
	first := a.connect(trips.Driver("d"), asProto, nil)
	a.offer("o", "d", id)
	open := store.close()
	first.command("accept", answerFrame("o", true))
	a.until("the first commits", func() bool { return store.held() == 1 })

	second := b.connect(trips.Driver("d"), asJSONText, nil)
	if ack := second.ask("accept", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("answered %v", ack)
	}

	open()
	if ack := first.answer("accept", 1); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("the first is answered %v", ack)
	}

	a.until("the dispatcher is told", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.declined) == 1
	})

	if now, err := a.store.Trip(t.Context(), id); err != nil || now.State != trips.Requested {
		t.Errorf("the trip is %s, %v", now.State, err)
	}
	if ack := second.ask("accept", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("asked again: %v", ack)
	}
}
