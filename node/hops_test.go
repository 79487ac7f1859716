package node_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/wire"
)

// clockDoubt is more than two nodes' clocks differ: each has measured the
// database's by a round trip, on a machine that may be busy.
const clockDoubt = 300 * time.Millisecond

func (m marketNodes) all() []*node.Node { return []*node.Node{m.owner, m.next, m.home} }

// hopsOf returns what the nodes recorded of a trip.
func (m marketNodes) hopsOf(trip string) (hops []tracing.Recorded) {
	for _, n := range m.all() {
		hops = append(hops, n.Tracer().Ring().HopsOf(trip)...)
	}
	return hops
}

// rideOverThreeNodes has the region's owner offer the trip to a driver of another
// node who declines, and to a second one who makes the whole ride with the rider
// of a third node. It returns the trip.
func rideOverThreeNodes(t *testing.T, m marketNodes) string {
	t.Helper()
	market, stadium := &wire.Point{Lng: marketPoint.Lng, Lat: marketPoint.Lat}, &wire.Point{Lng: 3.393263, Lat: 6.484199}
	startDriver := func(id string) *phone {
		driver := startPhone(t, m.home, client.RoleDriver, id)
		driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
		driver.drive(market)
		return driver
	}

	first, rider := startDriver("no"), startPhone(t, m.next, client.RoleRider, "ada")
	trip := rider.command(client.NewFrame(&wire.RequestTrip{Pickup: market, Dropoff: stadium})).Id
	offer := awaitFrame(first, (*wire.ServerFrame).GetOffer)
	driver := startDriver("dayo")
	first.command(client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id}))
	offer = awaitFrame(driver, (*wire.ServerFrame).GetOffer)
	driver.command(client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true}))

	awaitFrame(rider, (*wire.ServerFrame).GetPosition)
	rider.command(client.NewFrame(&wire.SendChat{TripId: trip, Text: "I wear a red hat"}))
	awaitFrame(driver, (*wire.ServerFrame).GetChat)
	for _, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		if step == wire.Step_COMPLETE {
			driver.driveTo(stadium)
		}
		driver.command(client.NewFrame(&wire.MoveTrip{TripId: trip, Step: step}))
	}
	awaitFrame(rider, (*wire.ServerFrame).GetReceipt)
	return trip
}

func TestEachMessageBetweenNodesIsLinkedToItsReceipt(t *testing.T) {
	m := startTracedNodes(t, 1)
	trip := rideOverThreeNodes(t, m)
	roles := map[string]string{m.owner.Name(): "owner", m.home.Name(): "drivers", m.next.Name(): "rider"}

	// what must be there: node, phase and its number, name
	missing := func() (missing []string) {
		seen := map[string]bool{}
		for _, h := range m.hopsOf(trip) {
			name := fmt.Sprint(roles[h.Node], " ", h.Phase, " ", h.Nth, " ", h.Name)
			if h.Phase == tracing.Position {
				name = fmt.Sprint(roles[h.Node], " ", h.Phase, " ", h.Name)
			}
			seen[name] = true
		}
		for _, want := range []string{
			"owner request 0 heard", "rider request 0 heard",
			"owner match 0 window_wait", "owner match 0 look_around", "owner match 0 candidates", "owner match 0 matrix_call", "owner match 0 assignment", "owner match 0 reserve",
			"owner offer 1 offer_sent", "drivers offer 1 offer_heard", "drivers offer 1 answer_sent", "owner offer 1 answer_heard", "owner offer 1 offer_ended",
			"owner match 2 reserve", "owner offer 2 offer_sent", "drivers offer 2 offer_heard", "owner offer 2 offer_ended",
			"owner accept 0 heard", "drivers accept 0 heard", "rider accept 0 heard", "rider arrive 0 heard", "rider start 0 heard", "rider complete 0 heard",
			"drivers position car_published", "rider position car_heard", "drivers chat 1 heard", "rider chat 1 heard", "rider receipt 0 heard",
			"drivers  0 ride",
		} {
			if !seen[want] {
				missing = append(missing, want)
			}
		}
		return missing
	}
	await(t, "all hops", func() bool { return len(missing()) == 0 }, func() string { return fmt.Sprintf("%q", missing()) })

	// each receipt names what was sent on another node before
	hops := m.hopsOf(trip)
	slices.SortFunc(hops, func(a, b tracing.Recorded) int { return cmp.Compare(a.Began, b.Began) })
	linked, hasHeard := map[string]int{}, map[string]bool{}
	for _, h := range hops {
		if !slices.Contains([]string{"offer_heard", "answer_heard", "car_heard"}, h.Name) {
			continue
		}
		sent := slices.IndexFunc(hops, func(s tracing.Recorded) bool { return s.Key == h.Cause && s.Node != h.Node })
		isFirst := !hasHeard[h.Name]
		hasHeard[h.Name] = true
		if sent < 0 && isFirst && h.Name == "car_heard" {
			continue // it began to watch in the middle of a half second
		}
		if sent < 0 {
			t.Errorf("%s on %s comes from %s, which no other node sent", h.Name, h.Node, h.Cause)
			continue
		}
		if early := time.Duration(hops[sent].Began - h.Ended); early > clockDoubt || h.Began > h.Ended {
			t.Errorf("%s on %s was heard %v before it was sent", h.Name, h.Node, early)
		}
		linked[h.Name]++
	}
	if linked["offer_heard"] != 2 || linked["answer_heard"] != 1 {
		t.Errorf("linked are %v", linked)
	}

	for _, h := range hops {
		switch {
		case h.Name == "ride" && (h.Reason != "completed" || h.Duration() <= 0):
			t.Errorf("the root is %+v", h)
		case h.Name == "heard" && !strings.HasPrefix(h.Cause, "publish:"), h.Name == "heard" && h.Reason == "":
			t.Errorf("%+v does not say what was heard, or for what", h)
		case strings.Contains(h.Frame, "red hat"):
			t.Errorf("%s tells the words of a chat", h.Name)
		}
	}
	if ends := namedEnds(hops); !maps.Equal(ends, map[int]string{1: "declined", 2: "accepted"}) {
		t.Errorf("the offers ended as %v", ends)
	}
}

// namedEnds returns how each offer ended.
func namedEnds(hops []tracing.Recorded) map[int]string {
	ends := map[int]string{}
	for _, h := range hops {
		if h.Name == tracing.OfferEnded.Name {
			ends[h.Nth] += h.Reason
		}
	}
	return ends
}

func TestARideThatIsNotSampledLeavesNothingOnAnyNode(t *testing.T) {
	m := startTracedNodes(t, 1e-12)
	rideOverThreeNodes(t, m)
	for _, n := range m.all() {
		// Libraries begin traces of their own, of which the same share is kept.
		if hops, _ := n.Tracer().Ring().Since(0); len(hops) != 0 {
			t.Errorf("%s recorded %+v", n.Name(), hops)
		}
	}
}

func TestAnOwnersEndIsSeenInTheRideThatLivedThroughIt(t *testing.T) {
	m := startTracedNodes(t, 1)
	rider := startPhone(t, m.home, client.RoleRider, "ada")
	market := &wire.Point{Lng: marketPoint.Lng, Lat: marketPoint.Lat}
	trip := rider.command(client.NewFrame(&wire.RequestTrip{Pickup: market, Dropoff: &wire.Point{Lng: 3.393263, Lat: 6.484199}})).Id
	await(t, "the owner to search", func() bool { return len(m.owner.Tracer().Ring().HopsOf(trip)) > 0 }, func() string { return "it does not" })

	m.stopOwner()
	<-m.ownerEnded
	find := func() (found []tracing.Recorded) {
		return slices.DeleteFunc(m.next.Tracer().Ring().HopsOf(trip), func(h tracing.Recorded) bool { return h.Name != tracing.TakenOver.Name })
	}
	await(t, "a takeover", func() bool { return len(find()) == 1 }, func() string { return fmt.Sprint(find()) })
	if h := find()[0]; h.Code != "owner_gone" || !strings.Contains(h.Reason, "node "+m.owner.Name()+" searched for a driver and is gone") {
		t.Errorf("%+v", h)
	}
}
