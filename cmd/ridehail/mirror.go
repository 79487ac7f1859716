package main

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
	topicFleet  = "fleet"
	mirrorEvery = 200 * time.Millisecond
	mirrorAll   = 25 // ticks between full pictures, which heal what got lost
)

// mirror shows each node the drivers of the others: one message per region and tick with those that changed, never one
// per driver. While the node is alone it does nothing.
type mirror struct {
	node    string
	drivers *sharedstate.Drivers
	members *events.Members
	moved   func(trips.DriverID) // told of each driver that moved elsewhere
	publish func(ctx context.Context, topic string, region location.Region, payload []byte) error
	log     *slog.Logger

	// Of the goroutine in run.
	peers  []string
	since  uint64
	ticks  int
	failed bool
}

func (m *mirror) run(ctx context.Context) error {
	tick := time.NewTicker(mirrorEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			m.tick(ctx)
		}
	}
}

func (m *mirror) tick(ctx context.Context) {
	alive := m.members.Alive()
	for _, peer := range m.peers {
		if !slices.Contains(alive, peer) {
			m.bury(peer)
		}
	}
	if !slices.Equal(alive, m.peers) {
		m.since = 0 // whoever is new has seen nothing
	}
	m.peers = alive
	if len(alive) < 2 {
		return
	}
	if m.ticks++; m.ticks%mirrorAll == 0 {
		m.since = 0
	}
	changed, next := m.drivers.Changed(m.node, m.since, nil)
	err := m.tell(ctx, changed)
	if err == nil {
		m.since = next
	}
	if err != nil && !m.failed && ctx.Err() == nil {
		m.log.Warn("the other nodes do not see our drivers move; trying again", "err", err)
	}
	m.failed = err != nil
}

// tell publishes one message per region.
func (m *mirror) tell(ctx context.Context, changed []sharedstate.Driver) error {
	fleets := map[location.Region]*wire.Fleet{}
	for _, d := range changed {
		region, err := location.RegionOf(d.Fix.Point)
		if err != nil || !d.Located() {
			continue
		}
		f := fleets[region]
		if f == nil {
			f = &wire.Fleet{Node: m.node, Region: string(region)}
			fleets[region] = f
		}
		f.Cars = append(f.Cars, carOf(d))
	}
	for region, f := range fleets {
		payload, err := wire.Proto.Append(nil, f)
		if err != nil {
			return err
		}
		if err := m.publish(ctx, topicFleet, region, payload); err != nil {
			return err
		}
	}
	return nil
}

func carOf(d sharedstate.Driver) *wire.FleetCar {
	return &wire.FleetCar{DriverId: string(d.ID), ReceivedMs: wire.Millis(d.ReceivedAt), Status: string(d.Status),
		TripId: string(d.Trip), Connected: d.Connected,
		Fix: &wire.Fix{Seq: d.Fix.Seq, AtMs: wire.Millis(d.Fix.At), Heading: d.Fix.Heading, Speed: d.Fix.Speed,
			Accuracy: d.Fix.Accuracy, Point: &wire.Point{Lng: d.Fix.Lng, Lat: d.Fix.Lat}}}
}

// take places another node's drivers.
func (m *mirror) take(payload []byte) {
	var f wire.Fleet
	if err := wire.Proto.Decode(payload, &f); err != nil {
		m.log.Warn("another node's drivers cannot be read", "err", err)
		return
	}
	if f.Node == m.node {
		return
	}
	for _, c := range f.Cars {
		p := c.GetFix().GetPoint()
		m.drivers.Place(sharedstate.Driver{ID: trips.DriverID(c.DriverId), Node: f.Node, Connected: c.Connected,
			Status: sharedstate.Status(c.Status), Trip: trips.TripID(c.TripId), ReceivedAt: wire.Time(c.ReceivedMs),
			Fix: location.Fix{Point: location.Point{Lng: p.GetLng(), Lat: p.GetLat()}, Seq: c.GetFix().GetSeq(),
				At: wire.Time(c.GetFix().GetAtMs()), Heading: c.GetFix().GetHeading(), Speed: c.GetFix().GetSpeed(),
				Accuracy: c.GetFix().GetAccuracy()}})
		m.moved(trips.DriverID(c.DriverId))
	}
}

// bury disconnects the drivers of a node that died; their phones come back to another one.
func (m *mirror) bury(peer string) {
	lost, _ := m.drivers.Changed(peer, 0, nil)
	for _, d := range lost {
		m.drivers.Leave(d.ID, peer)
	}
	m.log.Warn("a node has gone", "peer", peer, "drivers", len(lost))
}
