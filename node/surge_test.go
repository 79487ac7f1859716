package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// pricedNode is a node that hears of requests, knows drivers and has prices.
type pricedNode struct {
	*surgeUpdater
	requested int
}

// newPricedNodes returns nodes of which each owns the regions for which owner
// returns its name. What one publishes the others hear.
func newPricedNodes(clock func() time.Time, owner func(location.Point) string, names ...string) map[string]*pricedNode {
	nodes := map[string]*pricedNode{}
	for _, name := range names {
		nodes[name] = &pricedNode{surgeUpdater: &surgeUpdater{surge: pricing.NewSurge(pricing.SurgeOptions{}), node: name,
			drivers: sharedstate.NewDrivers(sharedstate.DriverOptions{Node: name, Now: clock}),
			owns:    func(r location.Region) bool { return string(r) == name },
			ownerOf: func(_ location.Cell, p location.Point) string { return owner(p) },
			alive:   func() []string { return names }, now: clock, log: slog.New(slog.DiscardHandler),
			publish: func(_ context.Context, payload []byte) error {
				for _, n := range nodes {
					n.takeCounts(payload)
				}
				return nil
			},
			requests: map[trips.TripID]location.Point{}, counts: map[string]nodeCounts{}}}
	}
	return nodes
}

// request makes a trip's event known to the node, some times.
func (n *pricedNode) request(at location.Point, owner string, told int) {
	n.requested++
	ev := trips.Event{Kind: trips.KindRequested,
		Trip: trips.Trip{ID: trips.TripID(fmt.Sprint(n.node, n.requested)), Pickup: at, Region: location.Region(owner)}}
	for range told {
		n.onTripEvent(ev)
	}
	n.onTripEvent(trips.Event{Kind: trips.KindReserved, Trip: ev.Trip})
}

// tick ends a count on all nodes at the same time.
func tick(t *testing.T, at time.Time, nodes ...*pricedNode) {
	t.Helper()
	for _, n := range nodes {
		n.publishCounts(t.Context(), n.countRegions(at))
	}
	for _, n := range nodes {
		n.updatePrices(at)
	}
}

func TestANodesPricesFollowTheRequestsItHearsOfAndTheDriversItKnows(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	now := began
	clock := func() time.Time { return now }
	market := location.Point{Lng: 3.38, Lat: 6.45}
	pass := func(n *pricedNode, ticks, told int) {
		now = began
		for range ticks {
			n.request(market, "n", told)
			now = now.Add(surgeEvery)
			tick(t, now, n)
		}
	}
	newNode := func() *pricedNode {
		return newPricedNodes(clock, func(location.Point) string { return "n" }, "n")["n"]
	}

	once, twice := newNode(), newNode()
	pass(once, 60, 1)
	if once.highestFactor() <= 1 {
		t.Fatal("six requests a minute and no driver make no surge")
	}
	pass(twice, 60, 2)
	if got, want := twice.surge.RaisedZones(), once.surge.RaisedZones(); !slices.Equal(got, want) {
		t.Errorf("each request told twice: %+v, once %+v", got, want)
	}

	for i := range 40 {
		id := trips.DriverID(fmt.Sprint(i))
		once.drivers.Connect(id, []string{"n", "elsewhere"}[i%2])
		once.drivers.SetAvailable(id, true)
		if why := once.drivers.Move(id, location.Fix{Point: market, Seq: 1, At: now}); why != location.Accepted {
			t.Fatal(why)
		}
	}

	zone := pricing.ZoneAt(market)
	if c := once.countRegions(now); c.supply[zone] != 40 {
		t.Fatalf("%d free drivers of 40", c.supply[zone])
	}
	if err := once.drivers.Reserve("0", "hold"); err != nil {
		t.Fatal(err)
	}
	if c := once.countRegions(now); c.supply[zone] != 39 {
		t.Errorf("%d free drivers while one of 40 holds an offer", c.supply[zone])
	}
}

func TestThePricesOfNodesAgreeAlthoughEachKnowsOnlyItsRegions(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	market, port := location.Point{Lng: 3.38, Lat: 6.45}, location.Point{Lng: 3.42, Lat: 6.42}
	nodes := newPricedNodes(func() time.Time { return now }, func(p location.Point) string {
		if location.MetresBetween(p, market) < 1000 {
			return "a"
		}
		return "b"
	}, "a", "b")
	a, b := nodes["a"], nodes["b"]

	// Both know of a driver at the port, which is b's.
	for _, n := range nodes {
		n.drivers.ApplyReplica(sharedstate.Driver{ID: "d", Node: "b", Connected: true, Status: sharedstate.Available,
			Fix: location.Fix{Point: port, At: now.Add(time.Hour)}, ReceivedAt: now.Add(time.Hour)})
	}
	step := func(told ...*pricedNode) {
		for _, n := range told {
			n.request(market, "a", 1)
			n.request(port, "b", 1)
			n.request(port, "b", 1)
		}
		now = now.Add(surgeEvery)
		tick(t, now, a, b)
	}
	for range 60 {
		step(a, b)
	}

	raised := a.surge.RaisedZones()
	if !slices.Equal(raised, b.surge.RaisedZones()) || len(raised) < 2 {
		t.Fatalf("%+v and %+v", raised, b.surge.RaisedZones())
	}
	for _, z := range raised {
		if want := map[location.Cell]float64{pricing.ZoneAt(market): 6, pricing.ZoneAt(port): 12}[z.Cell]; want != 0 && (z.Demand < want*.95 || z.Demand > want) {
			t.Errorf("in %s %v requests a minute, want %v", z.Cell, z.Demand, want)
		}
		if z.Cell == pricing.ZoneAt(port) && z.Supply > 1 {
			t.Errorf("the driver counts %v times", z.Supply)
		}
	}

	// The counts of a node that says nothing more stand for 30 seconds.
	b.publish = func(context.Context, []byte) error { return nil }
	for range 3 {
		step(a)
	}
	if _, known := a.counts["b"]; known {
		t.Error("the counts of b are not forgotten")
	}
}
