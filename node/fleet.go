package node

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/gateway"
	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

const (
	topicFleet = "fleet"
	fleetEvery = 200 * time.Millisecond

	// maxFleetCars bounds a message to 64 KB, also with ids of 64 characters.
	maxFleetCars = 200
	// fleetBatch is how many messages are sent in one round trip.
	fleetBatch = 16

	// sweepTicks is how many ticks pass between looks for drivers of other nodes
	// who were not heard for forgetIdle, or for forgetOnTrip on a trip.
	sweepTicks   = 25
	forgetIdle   = detector.OfflineAfter // from then on they are on no map
	forgetOnTrip = 10 * time.Minute
)

// fleetReplicator tells the owner of each region which of this node's drivers
// are there, shows riders of other nodes their cars, and asks owners for cars
// that this node does not know. While the node is alone it publishes nothing.
type fleetReplicator struct {
	node      string
	drivers   *sharedstate.Drivers
	members   *events.Members
	owners    *ownerCache
	gateway   *gateway.Gateway
	questions *fleetQuestions
	listener  *events.Listener // of positions
	publish   func(context.Context, []events.Addressed) error
	// onOwnersChanged is called when regions may have other owners.
	onOwnersChanged func()
	now             func() time.Time
	log             *slog.Logger
	metrics         fleetMetrics
	tracer          *tracing.Tracer // nil: no hop is recorded

	// Of the goroutine in run.
	peers   []string
	earlier bool // a peer is of an earlier build
	ticks   int
	resend  bool                      // the last messages may be lost
	told    map[trips.DriverID]string // the other node that owns the region of each
	changed []sharedstate.Driver

	// Of the goroutine in runCars.
	moved          []sharedstate.Driver
	carsFailing    bool
	publishedFixes *fixSampler
	sampled        []tracing.Shared // of the cars that are published now

	heardFixes *fixSampler // of the positions' listener

	askCars chan struct{} // holds a signal when toAsk has a driver

	mu      sync.Mutex // guards below
	watched map[trips.DriverID]bool
	toAsk   []trips.DriverID // whose nodes are to publish the car at once
}

// fleetMetrics count what cars cost between nodes.
type fleetMetrics struct {
	published   *prometheus.CounterVec
	overwritten prometheus.Counter
	questions   *prometheus.CounterVec
}

func newFleetMetrics(r prometheus.Registerer) fleetMetrics {
	m := fleetMetrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_fleet_published_total",
			Help: "Cars published for other nodes: to the owner of a region, to the watchers of a ride, or as an answer."}, []string{"to"}),
		overwritten: prometheus.NewCounter(prometheus.CounterOpts{Name: "ridehail_fleet_overwritten_total",
			Help: "Changes of cars on a trip that were not published because a newer one came first."}),
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_fleet_questions_total",
			Help: "Questions to other nodes about cars, by outcome: answered, late, failed, or dropped by the one asked."}, []string{"outcome"}),
	}
	r.MustRegister(m.published, m.overwritten, m.questions)
	return m
}

// newFleetReplicator returns the replicator of a node. Its gateway is set before
// it runs.
func newFleetReplicator(n *Node) *fleetReplicator {
	r := &fleetReplicator{node: n.cfg.Name, drivers: n.drivers, members: n.members, owners: newOwnerCache(n.members),
		publish: n.redis.PublishAll, now: n.clock.Now, log: n.log, metrics: newFleetMetrics(n.registry), tracer: n.tracer,
		publishedFixes: newFixSampler(n.tracer), heardFixes: newFixSampler(n.tracer),
		told: map[trips.DriverID]string{}, askCars: make(chan struct{}, 1), watched: map[trips.DriverID]bool{}}
	r.questions = newFleetQuestions(r)
	r.listener = n.redis.NewListener(events.ListenerConfig{Name: "positions", Node: n.cfg.Name, Handler: r,
		Newest: func(c events.Channel) bool { return strings.HasPrefix(string(c), string(events.CarChannel(""))) }})
	r.listener.Follow(events.PositionsChannel(n.cfg.Name))
	return r
}

// run tells owners of the drivers that changed, until ctx ends.
func (r *fleetReplicator) run(ctx context.Context) error {
	return sleep.Every(ctx, fleetEvery, r.replicateChanges)
}

// replicateChanges forgets the drivers of nodes that died and tells owners of
// our own that changed since the last tick: of all when nodes came or went.
func (r *fleetReplicator) replicateChanges(ctx context.Context) {
	all := r.followPeers() || r.resend
	if r.ticks++; r.ticks%sweepTicks == 0 {
		r.forgetUnheard()
	}
	if len(r.peers) < 2 {
		return
	}

	r.changed = r.drivers.TakeChanged(r.changed[:0])
	if all {
		r.changed = r.drivers.DriversOf(r.node, r.changed[:0])
	}

	err := r.publishBatches(ctx, r.addressChanges(r.changed))
	if err != nil && !r.resend && ctx.Err() == nil {
		r.log.Warn("the other nodes do not see our drivers move; trying again", "err", err)
	}
	r.resend = err != nil
}

// followPeers records which nodes are alive and drops the drivers of those that
// are not; true if regions may have other owners now.
func (r *fleetReplicator) followPeers() (changed bool) {
	alive, earlier := r.members.AliveNodes(), r.members.HasEarlierBuild()
	if slices.Equal(alive, r.peers) && earlier == r.earlier {
		return false
	}

	for _, peer := range r.peers {
		if !slices.Contains(alive, peer) {
			r.dropNode(peer)
		}
	}
	if (len(alive) > 1) != (len(r.peers) > 1) {
		r.drivers.SetTracking(len(alive) > 1)
		clear(r.told)
	}

	r.peers, r.earlier = alive, earlier
	r.owners.reset()
	r.onOwnersChanged()
	return true
}

// dropNode disconnects the drivers of a node that died; their phones come back
// to another one.
func (r *fleetReplicator) dropNode(peer string) {
	lost := r.drivers.DriversOf(peer, nil)
	for _, d := range lost {
		r.recordNodeGone(d, peer)
		r.drivers.Disconnect(d.ID, peer)
	}
	r.gateway.ReleaseHoldsOf(peer)
	r.log.Warn("a node has gone", "peer", peer, "drivers", len(lost))
}

// forgetUnheard removes drivers of other nodes of whom nothing comes any more,
// also when those nodes have gone, and forgets to whom it told of drivers who
// went to other nodes.
func (r *fleetReplicator) forgetUnheard() {
	now := r.now()
	r.drivers.RemoveUnheard(now.Add(-forgetIdle), now.Add(-forgetOnTrip))
	for id := range r.told {
		if d, ok := r.drivers.Get(id); !ok || d.Node != r.node {
			delete(r.told, id)
		}
	}
}

// addressChanges returns the messages that tell the owners of drivers' regions
// of the drivers. A driver who came from the regions of another owner is told to
// that one as well, once, so that it does not go on with an old place.
func (r *fleetReplicator) addressChanges(changed []sharedstate.Driver) []events.Addressed {
	cars := map[string][]*wire.FleetCar{}
	for i := range changed {
		d := &changed[i]
		if !d.HasPosition() {
			continue
		}

		owner, former := r.owners.ownerOf(d.Cell, d.Fix.Point), r.told[d.ID]
		if owner == r.node {
			owner = ""
		}
		if owner == "" && former == "" || !d.Connected && former == "" {
			continue
		}

		car := encodeCar(*d)
		for _, to := range slices.Compact([]string{owner, former}) {
			if to != "" && slices.Contains(r.peers, to) {
				cars[to] = append(cars[to], car)
			}
		}
		if owner == "" || !d.Connected {
			delete(r.told, d.ID)
		} else {
			r.told[d.ID] = owner
		}
	}

	var messages []events.Addressed
	for owner, list := range cars {
		r.metrics.published.WithLabelValues("owner").Add(float64(len(list)))
		messages = append(messages, r.fleetMessages(owner, list)...)
	}
	return messages
}

// fleetMessages returns the cars as messages to a node.
func (r *fleetReplicator) fleetMessages(to string, cars []*wire.FleetCar) (messages []events.Addressed) {
	for part := range slices.Chunk(cars, maxFleetCars) {
		messages = append(messages, r.encodeMessage(events.PositionsChannel(to), topicFleet, &wire.Fleet{Node: r.node, Cars: part})...)
	}
	return messages
}

// publishBatches publishes messages, some in each round trip.
func (r *fleetReplicator) publishBatches(ctx context.Context, messages []events.Addressed) error {
	for batch := range slices.Chunk(messages, fleetBatch) {
		if err := r.publish(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// ownerCache remembers the owners of places until nodes come or go. It may be
// used from many goroutines.
type ownerCache struct {
	members *events.Members

	mu     sync.RWMutex // guards below
	byCell map[location.Cell]string
	resets int
}

func newOwnerCache(m *events.Members) *ownerCache {
	return &ownerCache{members: m, byCell: map[location.Cell]string{}}
}

// ownerOf returns the node that owns the region of a point, whose cell is known;
// "" for a point that is not on Earth.
func (c *ownerCache) ownerOf(cell location.Cell, p location.Point) string {
	c.mu.RLock()
	owner, ok := c.byCell[cell]
	resets := c.resets
	c.mu.RUnlock()
	if ok {
		return owner
	}

	region, err := location.RegionOf(p)
	if err != nil {
		return ""
	}
	owner = c.members.OwnerOf(region)
	c.mu.Lock()
	if c.resets == resets {
		c.byCell[cell] = owner
	}
	c.mu.Unlock()
	return owner
}

// reset forgets all owners.
func (c *ownerCache) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.byCell)
	c.resets++
}
