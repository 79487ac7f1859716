package gateway

import (
	"testing"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// newGatedPair is two nodes that share a store; commits of the first go through
// a gate.
func newGatedPair(t *testing.T) (a, b *testNode, store *gate) {
	a, store = newGatedNode(t, nil)
	b = newTestNode(t, func(cfg *Config) {
		cfg.Store = a.store
		cfg.Trips = &trips.Service{Store: a.store, Now: cfg.Now}
	})
	return a, b, store
}

func TestAnAcceptRepeatedOnAnotherNodeWaitsForTheFirst(t *testing.T) {
	a, b, store := newGatedPair(t)
	id := a.openTrip("r")
	first := a.connectPhone(trips.Driver("d"), asProto, nil)
	a.sendOffer("o", "d", id)
	open := store.shutGate()
	first.sendCommand("accept", answerFrame("o", true))

	a.awaitCondition("the first commits", func() bool { return store.countWaiting() == 1 })
	first.conn.Close()
	second := b.connectPhone(trips.Driver("d"), asJSONText, &wire.Resume{Epoch: epoch})
	second.sendCommand("accept", answerFrame("o", true))
	second.mustDo(availableFrame(true)) // the next command does not wait for it
	if acks := acksOf(second.framesSoFar(), "accept"); len(acks) != 0 {
		t.Fatalf("answered %v before the first was", acks)
	}
	open()
	if ack := second.awaitAck("accept", 1); ack.Code != "" || ack.Trip.GetDriverId() != "d" || ack.Trip.GetVersion() != 2 {
		t.Errorf("answered %v", ack)
	}
}

// The first node hangs. What the second one says must hold, also when the first
// goes on.
func TestAnAcceptRefusedOnAnotherNodeIsNotDoneLater(t *testing.T) {
	a, b, store := newGatedPair(t)
	id := a.openTrip("r")
	first := a.connectPhone(trips.Driver("d"), asProto, nil)
	a.sendOffer("o", "d", id)
	open := store.shutGate()
	first.sendCommand("accept", answerFrame("o", true))
	a.awaitCondition("the first commits", func() bool { return store.countWaiting() == 1 })

	second := b.connectPhone(trips.Driver("d"), asJSONText, nil)
	if ack := second.askCommand("accept", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("answered %v", ack)
	}

	open()
	if ack := first.awaitAck("accept", 1); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("the first is answered %v", ack)
	}

	a.awaitCondition("the dispatcher is told", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.declined) == 1
	})

	if now, err := a.store.Trip(t.Context(), id); err != nil || now.State != trips.Requested {
		t.Errorf("the trip is %s, %v", now.State, err)
	}
	if ack := second.askCommand("accept", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("asked again: %v", ack)
	}
}
