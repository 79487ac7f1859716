package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

const (
	topicFleet = "fleet"
	fleetEvery = 200 * time.Millisecond
	fleetAll   = 25 // ticks between full pictures, which heal what got lost
)

// fleetReplicator replicates this node's drivers to the others: one message per
// region and tick with those that changed, never one per driver. While the node
// is alone it publishes nothing.
type fleetReplicator struct {
	node    string
	drivers *sharedstate.Drivers
	members *events.Members
	onMoved func(trips.DriverID) // a driver of another node moved
	publish func(ctx context.Context, topic string, region location.Region, payload []byte) error
	log     *slog.Logger

	// Of the goroutine in run.
	peers   []string
	since   uint64 // version of the shared state that the peers have
	ticks   int
	failing bool
}

func (r *fleetReplicator) run(ctx context.Context) error {
	tick := time.NewTicker(fleetEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			r.replicateChanges(ctx)
		}
	}
}

// replicateChanges forgets the drivers of nodes that died and publishes our own
// that changed since the last tick.
func (r *fleetReplicator) replicateChanges(ctx context.Context) {
	if !r.followPeers() {
		return
	}
	if r.ticks++; r.ticks%fleetAll == 0 {
		r.since = 0
	}

	changed, next := r.drivers.ChangedSince(r.node, r.since, nil)
	err := r.publishFleets(ctx, changed)
	if err == nil {
		r.since = next
	}
	if err != nil && !r.failing && ctx.Err() == nil {
		r.log.Warn("the other nodes do not see our drivers move; trying again", "err", err)
	}
	r.failing = err != nil
}

// followPeers records which nodes are alive and drops the drivers of those that
// are not; false when this node is alone.
func (r *fleetReplicator) followPeers() bool {
	alive := r.members.AliveNodes()
	for _, peer := range r.peers {
		if !slices.Contains(alive, peer) {
			r.dropNode(peer)
		}
	}

	if !slices.Equal(alive, r.peers) {
		r.since = 0 // a new node has seen nothing
	}
	r.peers = alive
	return len(alive) > 1
}

// publishFleets publishes one message per region.
func (r *fleetReplicator) publishFleets(ctx context.Context, changed []sharedstate.Driver) error {
	for region, f := range r.groupByRegion(changed) {
		payload, err := wire.Proto.Append(nil, f)
		if err != nil {
			return err
		}
		if err := r.publish(ctx, topicFleet, region, payload); err != nil {
			return err
		}
	}
	return nil
}

func (r *fleetReplicator) groupByRegion(changed []sharedstate.Driver) map[location.Region]*wire.Fleet {
	fleets := map[location.Region]*wire.Fleet{}
	for _, d := range changed {
		region, err := location.OldRegionOf(d.Fix.Point)
		if err != nil || !d.HasPosition() {
			continue
		}

		f := fleets[region]
		if f == nil {
			f = &wire.Fleet{Node: r.node, Region: string(region)}
			fleets[region] = f
		}
		f.Cars = append(f.Cars, encodeCar(d))
	}
	return fleets
}

func encodeCar(d sharedstate.Driver) *wire.FleetCar {
	return &wire.FleetCar{DriverId: string(d.ID), ReceivedMs: wire.ToMillis(d.ReceivedAt), Status: string(d.Status),
		TripId: string(d.Trip), Connected: d.Connected,
		Fix: &wire.Fix{Seq: d.Fix.Seq, AtMs: wire.ToMillis(d.Fix.At), Heading: d.Fix.Heading, Speed: d.Fix.Speed,
			Accuracy: d.Fix.Accuracy, Point: &wire.Point{Lng: d.Fix.Lng, Lat: d.Fix.Lat}}}
}

func decodeCar(node string, c *wire.FleetCar) sharedstate.Driver {
	fix, at := c.GetFix(), c.GetFix().GetPoint()
	return sharedstate.Driver{ID: trips.DriverID(c.DriverId), Node: node, Connected: c.Connected,
		Status: sharedstate.Status(c.Status), Trip: trips.TripID(c.TripId), ReceivedAt: wire.FromMillis(c.ReceivedMs),
		Fix: location.Fix{Point: location.Point{Lng: at.GetLng(), Lat: at.GetLat()}, Seq: fix.GetSeq(),
			At: wire.FromMillis(fix.GetAtMs()), Heading: fix.GetHeading(), Speed: fix.GetSpeed(), Accuracy: fix.GetAccuracy()}}
}

// applyFleet places another node's drivers in our shared state. Only the
// goroutine that listens to Redis calls it.
func (r *fleetReplicator) applyFleet(payload []byte) {
	var f wire.Fleet
	if err := wire.Proto.DecodeKnown(payload, &f); err != nil {
		r.log.Warn("another node's drivers cannot be read", "err", err)
		return
	}
	if f.Node == r.node {
		return
	}

	for _, c := range f.Cars {
		r.drivers.ApplyReplica(decodeCar(f.Node, c))
		r.onMoved(trips.DriverID(c.DriverId))
	}
}

// dropNode disconnects the drivers of a node that died; their phones come back
// to another one.
func (r *fleetReplicator) dropNode(peer string) {
	lost, _ := r.drivers.ChangedSince(peer, 0, nil)
	for _, d := range lost {
		r.drivers.Disconnect(d.ID, peer)
	}
	r.log.Warn("a node has gone", "peer", peer, "drivers", len(lost))
}
