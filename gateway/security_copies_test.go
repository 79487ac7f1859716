package gateway

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// threeNodes share a store, and nothing else.
func threeNodes(t *testing.T) (nodes []*testNode) {
	shared := newMemory()
	for range 3 {
		var service *trips.Service
		c := newTestNode(t, func(cfg *Config) {
			service = &trips.Service{Store: shared, Now: cfg.Now}
			cfg.Store, cfg.Receipts, cfg.Trips = shared, shared, service
			cfg.Room = &chat.Room{Store: shared, Trips: shared, Now: cfg.Now}
			cfg.Limits.Commands = 100
		})

		c.store, c.service = shared, service
		nodes = append(nodes, c)
	}
	return nodes
}

// connectToAll connects one user to every node, as a phone that comes back.
func connectToAll(nodes []*testNode, who trips.Actor) (phones []*phone) {
	for i, c := range nodes {
		phones = append(phones, c.connectPhone(who, []string{asProto, asJSONText}[i%2], &wire.Resume{Epoch: epoch}))
	}
	return phones
}

// sendCopies sends a command 64 times under one id over all the phones at once,
// and returns the answers.
func sendCopies(phones []*phone, f *wire.ClientFrame) (answers []*wire.Ack) {
	const n = 64
	id := fmt.Sprintf("%T", f.Body)
	if m := f.GetMoveTrip(); m != nil {
		id += m.Step.String()
	}

	var sending sync.WaitGroup
	for i := range n {
		sending.Go(func() { phones[i%len(phones)].sendCommand(id, f) })
	}
	sending.Wait()

	for i := range n {
		p := phones[i%len(phones)]
		answers = append(answers, p.awaitAck(id, i/len(phones)+1))
	}

	return answers
}

// checkOneEffect checks that all copies that were done were told the same, and
// returns it; the others have one of the codes.
func checkOneEffect(t *testing.T, what string, answers []*wire.Ack, besides ...wire.Code) *wire.Ack {
	t.Helper()
	var first *wire.Ack
	for _, a := range answers {
		switch {
		case a.Code != "":
			if !slices.Contains(besides, wire.Code(a.Code)) {
				t.Errorf("%s: %v", what, a)
			}
		case first == nil:
			first = a
		case a.Trip.GetId() != first.Trip.GetId() || a.Trip.GetVersion() != first.Trip.GetVersion() || a.ChatSeq != first.ChatSeq:
			t.Errorf("%s was answered %v and %v", what, first, a)
		}
	}

	if first == nil {
		t.Fatalf("%s was never done", what)
	}

	return first
}

// A phone, or a thief of its token, sends each command that moves value 64
// times at once to three nodes.
func TestSixtyFourCopiesOfACommandOnThreeNodesHaveOneEffect(t *testing.T) {
	nodes := threeNodes(t)
	riders, drivers := connectToAll(nodes, trips.Rider("r")), connectToAll(nodes, trips.Driver("d"))
	id := trips.TripID(checkOneEffect(t, "a request", sendCopies(riders, requestFrame(market, airport))).Trip.Id)
	nodes[0].sendOffer("o1", "d", id)

	// The offer is in the hands of one node; the others know only what was
	// recorded.
	checkOneEffect(t, "an acceptance", sendCopies(drivers, answerFrame("o1", true)), wire.CodeOfferGone)
	if said := checkOneEffect(t, "a message", sendCopies(drivers, chatFrame(id, "here"))); said.ChatSeq != 1 {
		t.Errorf("the message is number %d", said.ChatSeq)
	}

	for i, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		for _, p := range drivers {
			p.driveTo([]location.Point{market, market, airport}[i])
		}
		if a := checkOneEffect(t, step.String(), sendCopies(drivers, stepFrame(id, step))); a.Trip.Version != uint32(3+i) {
			t.Errorf("%v: %v", step, a)
		}
	}

	second := nodes[0].openTrip("r2")
	checkOneEffect(t, "a cancellation", sendCopies(connectToAll(nodes, trips.Rider("r2")), cancelFrame(second)))
	store := nodes[0].store
	store.mu.Lock()
	defer store.mu.Unlock()
	if len(store.events) != 2 || len(store.events[id]) != 5 || len(store.messages[id]) != 1 || len(store.events[second]) != 2 {
		t.Errorf("%d trips, of which one has %d events and %d messages, the other %d events", len(store.events),
			len(store.events[id]), len(store.messages[id]), len(store.events[second]))
	}
}
