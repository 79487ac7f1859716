package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

const (
	topicDemand = "demand" // wire.ZoneCounts, to all nodes

	// surgeEvery is how often each node counts demand and supply in the regions
	// that it owns. All count at the same time, so that their prices agree.
	surgeEvery = 10 * time.Second
	// countsWithin is how long a node waits for the others' counts before it
	// prices by the newest of each.
	countsWithin = time.Second
	// countsTTL is how long the counts of a node stand for newer ones.
	countsTTL = 3 * surgeEvery
	// maxDemand bounds the requests counted in a tick; more of them make no
	// higher price.
	maxDemand = 100_000
)

// surgeUpdater counts requests and free drivers in this node's regions, tells
// the other nodes, and prices by the counts of all.
type surgeUpdater struct {
	// Fixed at creation.
	surge   *pricing.Surge
	node    string
	drivers *sharedstate.Drivers
	// owns reports whether this node owns the region of a trip, ownerOf which
	// node owns that of a place.
	owns    func(location.Region) bool
	ownerOf func(location.Cell, location.Point) string
	alive   func() []string
	publish func(context.Context, []byte) error
	now     func() time.Time
	log     *slog.Logger

	failing bool // of the goroutine in run

	mu       sync.Mutex // guards below
	requests map[trips.TripID]location.Point
	counts   map[string]nodeCounts // the newest of each node
}

// nodeCounts is what a node counted in its regions.
type nodeCounts struct {
	at             time.Time // the end of the count
	demand, supply pricing.ZoneCounts
}

// newSurgeUpdater returns the updater of a node's prices.
func newSurgeUpdater(n *Node) *surgeUpdater {
	u := &surgeUpdater{surge: pricing.NewSurge(pricing.SurgeOptions{}), node: n.cfg.Name, drivers: n.drivers,
		owns: n.members.OwnsRegion, ownerOf: n.fleet.owners.ownerOf, alive: n.members.AliveNodes, now: n.clock.Now, log: n.log,
		publish: func(ctx context.Context, payload []byte) error {
			return n.redis.Publish(ctx, events.Everyone, events.Message{Topic: topicDemand, Region: everywhere, Payload: payload})
		},
		requests: map[trips.TripID]location.Point{}, counts: map[string]nodeCounts{}}
	n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ridehail_surge_max",
		Help: "The highest multiplier of prices anywhere; 1 when all are plain."}, u.highestFactor))
	return u
}

// onTripEvent counts a request in a region of this node once a tick, also if its
// event is repeated.
func (u *surgeUpdater) onTripEvent(ev trips.Event) {
	if ev.Kind != trips.KindRequested || !u.owns(ev.Trip.Region) {
		return
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.requests) < maxDemand {
		u.requests[ev.Trip.ID] = ev.Trip.Pickup
	}
}

// run counts at each multiple of surgeEvery, on the clock that all nodes share,
// until ctx ends.
func (u *surgeUpdater) run(ctx context.Context) error {
	u.updatePrices(u.now().Truncate(surgeEvery))
	for {
		now := u.now()
		at := now.Truncate(surgeEvery).Add(surgeEvery)
		if !sleep.For(ctx, at.Sub(now)) {
			return ctx.Err()
		}

		u.publishCounts(ctx, u.countRegions(at))
		if !sleep.For(ctx, countsWithin) {
			return ctx.Err()
		}
		u.updatePrices(at)
	}
}

// countRegions counts the requests since the last count and the drivers that
// are free now.
func (u *surgeUpdater) countRegions(at time.Time) nodeCounts {
	c := nodeCounts{at: at, demand: pricing.ZoneCounts{}, supply: pricing.ZoneCounts{}}
	for cell, free := range u.drivers.CountFree() {
		if centre, err := cell.Centre(); err == nil && u.ownerOf(cell, centre) == u.node {
			c.supply[cell.ParentCell()] += free
		}
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	for _, at := range u.requests {
		if zone := pricing.ZoneAt(at); zone != 0 {
			c.demand[zone]++
		}
	}
	u.requests = map[trips.TripID]location.Point{}
	u.counts[u.node] = c
	return c
}

// publishCounts tells the other nodes, if there are any.
func (u *surgeUpdater) publishCounts(ctx context.Context, c nodeCounts) {
	if len(u.alive()) < 2 {
		return
	}

	payload, err := wire.Proto.Append(nil, encodeCounts(u.node, c))
	if err == nil {
		err = u.publish(ctx, payload)
	}
	if err != nil && !u.failing && ctx.Err() == nil {
		u.log.Warn("the other nodes do not know the demand here; trying again", "err", err)
	}
	u.failing = err != nil
}

// takeCounts keeps the counts of another node.
func (u *surgeUpdater) takeCounts(payload []byte) {
	var m wire.ZoneCounts
	if err := wire.Proto.DecodeKnown(payload, &m); err != nil {
		u.log.Warn("another node's demand cannot be read", "err", err)
		return
	}
	if m.Node == u.node {
		return
	}

	c := decodeCounts(&m)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !c.at.Before(u.counts[m.Node].at) {
		u.counts[m.Node] = c
	}
}

// updatePrices takes the sum of the newest counts of all nodes alive.
func (u *surgeUpdater) updatePrices(at time.Time) {
	u.mu.Lock()
	demand, supply := pricing.ZoneCounts{}, pricing.ZoneCounts{}
	alive := u.alive()
	for _, node := range alive {
		c := u.counts[node]
		if at.Sub(c.at) >= countsTTL {
			continue
		}
		for zone, n := range c.demand {
			demand[zone] += n
		}
		for zone, n := range c.supply {
			supply[zone] += n
		}
	}
	for node, c := range u.counts {
		if at.Sub(c.at) >= countsTTL {
			delete(u.counts, node)
		}
	}
	u.mu.Unlock()

	u.surge.Tick(at, demand, supply)
}

func encodeCounts(node string, c nodeCounts) *wire.ZoneCounts {
	m := &wire.ZoneCounts{Node: node, AtMs: wire.ToMillis(c.at)}
	add := func(zone location.Cell) {
		m.Zones = append(m.Zones, uint64(zone))
		m.Requests = append(m.Requests, uint32(c.demand[zone]))
		m.Free = append(m.Free, uint32(c.supply[zone]))
	}
	for zone := range c.demand {
		add(zone)
	}
	for zone := range c.supply {
		if _, added := c.demand[zone]; !added {
			add(zone)
		}
	}
	return m
}

func decodeCounts(m *wire.ZoneCounts) nodeCounts {
	c := nodeCounts{at: wire.FromMillis(m.AtMs), demand: pricing.ZoneCounts{}, supply: pricing.ZoneCounts{}}
	for i, zone := range m.Zones[:min(len(m.Zones), len(m.Requests), len(m.Free))] {
		c.demand[location.Cell(zone)] += int(m.Requests[i])
		c.supply[location.Cell(zone)] += int(m.Free[i])
	}
	return c
}

func (u *surgeUpdater) highestFactor() float64 {
	top := pricing.NoSurge
	for _, z := range u.surge.RaisedZones() {
		top = max(top, z.Multiplier)
	}
	return top.Factor()
}
