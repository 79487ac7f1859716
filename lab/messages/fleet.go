package messages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

const (
	topicFleet = "fleet"
	topicRound = "round" // all have told: it follows the last message of a round
	// everywhere is a region that all nodes hear, as in the app.
	everywhere location.Region = "everywhere"
)

// redisServer is the one Redis of all nodes.
type redisServer struct {
	url   string
	log   *slog.Logger
	part  finding.Part
	first *events.Redis // a client of it, which has the server if it is embedded
}

func openServer(ctx context.Context, run *finding.Run) (*redisServer, error) {
	first, part, err := openRedis(ctx, run.Redis, events.WithLog(run.Log))
	if err != nil {
		return nil, err
	}
	return &redisServer{url: cmp.Or(run.Redis, first.EmbeddedURL()), log: run.Log, part: part, first: first}, nil
}

func (s *redisServer) close() { _ = s.first.Close() }

// arrangement says which regions a node listens to.
type arrangement func(c city, names []string, node int, regions []location.Region) []location.Region

// everyRegion is what the app does.
func everyRegion(_ city, _ []string, _ int, regions []location.Region) []location.Region {
	return regions
}

// neededRegions are those that the node owns, and those that its riders look
// at: of a region with two viewers, the two nodes after its owner.
func neededRegions(c city, names []string, node int, regions []location.Region) (out []location.Region) {
	for _, r := range regions {
		owner := slices.Index(names, events.RegionOwner(r, names))
		if after := (node - owner + len(names)) % len(names); after <= c.viewers {
			out = append(out, r)
		}
	}
	return out
}

// tellBoth runs both arrangements with one number of nodes.
func (s *redisServer) tellBoth(ctx context.Context, c city, nodes int, all, subscribed arrangement) (size Size, err error) {
	size = Size{Nodes: nodes, Published: c.publishedBy(nodes)}
	if size.All, err = s.tell(ctx, c, nodes, all); err == nil {
		size.Subscribed, err = s.tell(ctx, c, nodes, subscribed)
	}
	return size, err
}

// tell lets nodes tell each other of their cars for some rounds, and returns
// what they heard.
func (s *redisServer) tell(ctx context.Context, c city, nodes int, listensTo arrangement) (Fleet, error) {
	ctx, stop := context.WithCancel(ctx)
	f := &fleet{city: c, regions: regionsOf(c.regions), places: placesOf(c.regions)}
	defer f.close()
	defer stop()

	names := make([]string, nodes)
	for i := range names {
		names[i] = fmt.Sprintf("node-%d", i)
	}

	prefix := newPrefix()
	for i, name := range names {
		r, _, err := openRedis(ctx, s.url, events.WithLog(s.log), events.WithPrefix(prefix))
		if err != nil {
			return Fleet{}, err
		}
		f.start(ctx, name, r, append(listensTo(c, names, i, f.regions), everywhere))
	}
	return f.run(ctx)
}

// fleet is some nodes that tell of their cars.
type fleet struct {
	city    city
	regions []location.Region
	places  []location.Point // one in each region
	nodes   []*teller
	work    sync.WaitGroup
}

// regionsOf returns different regions, and placesOf a place in each: regions
// are some 15 km wide.
func regionsOf(n int) (out []location.Region) {
	for _, at := range placesOf(n) {
		region, err := location.RegionOf(at)
		if err != nil {
			panic(err) // the places are on Earth
		}
		out = append(out, region)
	}
	return out
}

func placesOf(n int) (out []location.Point) {
	for i := range n {
		out = append(out, location.Point{Lng: 3 + .3*float64(i%4), Lat: 6 + .3*float64(i/4)})
	}
	return out
}

// start opens a node. It hears when it has given its signal.
func (f *fleet) start(ctx context.Context, name string, r *events.Redis, regions []location.Region) {
	n := &teller{name: name, redis: r, drivers: sharedstate.NewDrivers(sharedstate.DriverOptions{}), hears: newSignal(), round: newSignal()}
	f.nodes = append(f.nodes, n)
	f.work.Go(func() { _ = listen(ctx, r, name, regions, n) })
}

// close ends all nodes, whose context must have ended.
func (f *fleet) close() {
	f.work.Wait()
	for _, n := range f.nodes {
		_ = n.redis.Close()
	}
}

// run lets all nodes tell in rounds. A round ends when all have heard of its
// end, which was published after the last message, so that nothing is under way
// when they are counted.
func (f *fleet) run(ctx context.Context) (total Fleet, err error) {
	for _, n := range f.nodes {
		if err := n.hears.await(ctx); err != nil {
			return total, err
		}
	}

	for round := range rounds {
		for _, n := range f.nodes {
			if err := n.tellOfCars(ctx, f, round); err != nil {
				return total, err
			}
		}
		if err := f.nodes[0].redis.Publish(ctx, events.OldRegionChannel(everywhere), events.Message{Topic: topicRound, Region: everywhere}); err != nil {
			return total, err
		}
		for _, n := range f.nodes {
			if err := n.round.await(ctx); err != nil {
				return total, errors.Join(fmt.Errorf("%s did not hear the end of round %d", n.name, round+1), err)
			}
		}
	}

	for _, n := range f.nodes {
		total.Heard += n.heard
		total.Bytes += n.bytes
		total.Kept += n.countKept(f.nodes)
	}
	return total, nil
}

// teller is one node. Its counts belong to the goroutine that listens, until
// the last round has ended.
type teller struct {
	name    string
	redis   *events.Redis
	drivers *sharedstate.Drivers
	hears   signal // it is subscribed
	round   signal // a round has ended

	heard int
	bytes int64
}

// tellOfCars moves the node's cars and publishes them, a message for each
// region, as the app's fleetReplicator does.
func (n *teller) tellOfCars(ctx context.Context, f *fleet, round int) error {
	now := time.Now()
	for i, region := range f.regions {
		msg := &wire.Fleet{Node: n.name, Region: string(region)}
		for car := range f.city.cars {
			id := trips.DriverID(fmt.Sprintf("%s-%d-%d", n.name, i, car))
			fix := location.Fix{Point: f.places[i], Seq: uint32(round + 1), At: now, Accuracy: 5}
			fix.Lat += 1e-5 * float64(round)
			n.drivers.Connect(id, n.name).Move(fix, now)
			msg.Cars = append(msg.Cars, &wire.FleetCar{DriverId: string(id), ReceivedMs: wire.ToMillis(now), Connected: true,
				Status: string(sharedstate.Available), Fix: &wire.Fix{Seq: fix.Seq, AtMs: wire.ToMillis(now), Accuracy: fix.Accuracy,
					Point: translate.EncodePoint(fix.Point)}})
		}

		payload, err := wire.Proto.Append(nil, msg)
		if err != nil {
			return err
		}
		if err := n.redis.Publish(ctx, events.OldRegionChannel(region), events.Message{Topic: topicFleet, Region: region, Payload: payload}); err != nil {
			return err
		}
	}
	return nil
}

// OnMessage counts a message and keeps the cars in it, unless they are this
// node's own.
func (n *teller) OnMessage(m events.Message) {
	if m.Topic == topicRound {
		n.round.give()
		return
	}

	n.heard++
	n.bytes += int64(len(m.Payload))
	var f wire.Fleet
	if wire.Proto.DecodeKnown(m.Payload, &f) != nil || f.Node == n.name {
		return
	}

	for _, c := range f.Cars {
		fix := c.GetFix()
		n.drivers.ApplyReplica(sharedstate.Driver{ID: trips.DriverID(c.DriverId), Node: f.Node, Connected: c.Connected,
			Status: sharedstate.Status(c.Status), ReceivedAt: wire.FromMillis(c.ReceivedMs),
			Fix: location.Fix{Point: translate.DecodePoint(fix.GetPoint()), Seq: fix.GetSeq(), At: wire.FromMillis(fix.GetAtMs())}})
	}
}

func (n *teller) OnGap(events.Gap) { n.hears.give() }

// countKept counts the cars in the node's shared state.
func (n *teller) countKept(nodes []*teller) (kept int) {
	for _, of := range nodes {
		kept += len(n.drivers.DriversOf(of.name, nil))
	}
	return kept
}
