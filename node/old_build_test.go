package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// oldNode speaks with other nodes as one of an earlier build does: it beats in
// one set of members, follows the channel of a region and its own, and publishes
// its driver there. The driver takes each offer.
type oldNode struct {
	t       *testing.T
	name    string
	region  string
	keys    *redis.Client
	service *trips.Service

	mu    sync.Mutex // guards below
	heard []string   // topics, with the number of a trip event or the driver's id
}

const oldDriver = "dayo"

// startOldNode runs such a node until stop is called.
func startOldNode(t *testing.T, name, database string, keys *redis.Client, at *wire.Point) (o *oldNode, stop func()) {
	t.Helper()
	region, err := location.OldRegionOf(translate.DecodePoint(at))
	if err != nil {
		t.Fatal(err)
	}
	db, closeStore, err := store.Open(t.Context(), database, store.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	o = &oldNode{t: t, name: name, region: string(region), keys: keys, service: &trips.Service{Store: db, Now: time.Now}}

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	sub := keys.Subscribe(ctx, "ridehail:region:"+o.region, "ridehail:node:"+name)
	running.Go(func() { o.listen(ctx, sub) })
	running.Go(func() { o.beat(ctx, at) })
	stop = sync.OnceFunc(func() {
		cancel()
		sub.Close() // it does not end with ctx
		running.Wait()
		keys.ZRem(context.Background(), "ridehail:members", name)
	})
	t.Cleanup(func() {
		stop()
		if err := closeStore(); err != nil {
			t.Error(err)
		}
	})
	return o, stop
}

func (o *oldNode) publish(ctx context.Context, topic string, payload []byte) {
	o.keys.Publish(ctx, "ridehail:region:"+o.region, topic+"\n"+o.region+"\n"+string(payload))
}

// beat sends heartbeats and where the driver is.
func (o *oldNode) beat(ctx context.Context, at *wire.Point) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for seq := uint32(1); ctx.Err() == nil; seq++ {
		now := time.Now()
		if clock, err := o.keys.Time(ctx).Result(); err == nil {
			o.keys.ZAdd(ctx, "ridehail:members", redis.Z{Score: float64(clock.UnixMilli()), Member: o.name})
		}
		fleet, err := wire.Proto.Append(nil, &wire.Fleet{Node: o.name, Region: o.region, Cars: []*wire.FleetCar{{
			DriverId: oldDriver, ReceivedMs: wire.ToMillis(now), Status: "available", Connected: true,
			Fix: &wire.Fix{Seq: seq, AtMs: wire.ToMillis(now), Accuracy: 5, Point: at}}}})
		if err != nil {
			o.t.Error(err)
			return
		}
		o.publish(ctx, "fleet", fleet)

		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (o *oldNode) listen(ctx context.Context, sub *redis.PubSub) {
	for {
		m, err := sub.ReceiveMessage(ctx)
		if err != nil {
			return
		}
		topic, rest, _ := strings.Cut(m.Payload, "\n")
		_, payload, _ := strings.Cut(rest, "\n")
		o.hear(ctx, topic, []byte(payload))
	}
}

func (o *oldNode) hear(ctx context.Context, topic string, payload []byte) {
	switch topic {
	case string(trips.TopicTrip):
		var ev trips.Event
		if err := json.Unmarshal(payload, &ev); err != nil {
			o.t.Error(err)
		}
		o.note(fmt.Sprint("trip ", ev.Seq()))
	case "fleet":
		var f wire.Fleet
		if err := wire.Proto.Decode(payload, &f); err != nil {
			o.t.Error(err)
		}
		for _, c := range f.Cars {
			if f.Node != o.name {
				o.note("car " + c.DriverId)
			}
		}
	case "offer":
		var m struct{ Offer dispatch.Offer }
		if err := json.Unmarshal(payload, &m); err != nil {
			o.t.Error(err)
		}
		o.move(ctx, m.Offer.Trip.ID, "take", func(t trips.Trip, at time.Time) (trips.Event, error) {
			return t.Reserve(m.Offer.Driver, at)
		})
	default:
		o.note(topic)
	}
}

// move commits a move of the driver.
func (o *oldNode) move(ctx context.Context, id trips.TripID, key string, how trips.Transition) {
	k := trips.IdempotencyKey{Actor: trips.Driver(oldDriver), ID: key + string(id), Fingerprint: key}
	if _, err := o.service.Apply(ctx, k, id, how); err != nil {
		o.t.Error(err)
	}
}

func (o *oldNode) note(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heard = append(o.heard, what)
}

func (o *oldNode) awaitHeard(what string) {
	o.t.Helper()
	seen := func() string {
		o.mu.Lock()
		defer o.mu.Unlock()
		return " " + strings.Join(o.heard, ", ") + ","
	}
	await(o.t, what, func() bool { return strings.Contains(seen(), " "+what+",") }, seen)
}

func TestNodesOfTwoBuildsRunOneService(t *testing.T) {
	address, keys := openRedis(t)
	database := createDatabase(t)
	// The new node owns the region of the pickup, by the rule of earlier builds.
	region, err := location.RegionOf(translate.DecodePoint(shortPickup))
	if err != nil {
		t.Fatal(err)
	}
	name := "old"
	for i := 0; events.OldRegionOwner(region, []string{name, "new"}) != "new"; i++ {
		name = fmt.Sprint("old-", i)
	}

	fresh := startNode(t, node.Config{Name: "new", Database: database, Redis: address})
	old, stop := startOldNode(t, name, database, keys, shortMiddle)
	channel := "ridehail:region:" + old.region
	followers := func() int64 { return keys.PubSubNumSub(t.Context(), channel).Val()[channel] }
	await(t, "the new node to follow the old region", func() bool { return followers() == 2 },
		func() string { return fmt.Sprint(followers()) })

	rider, driver := startPhone(t, fresh, client.RoleRider, "ada"), startPhone(t, fresh, client.RoleDriver, "bisi")
	driver.drive(shortPickup) // off duty: only the other driver gets offers
	old.awaitHeard("car bisi")

	trip := rider.command(client.NewFrame(&wire.RequestTrip{Pickup: shortPickup, Dropoff: shortDropoff}))
	await(t, "the ride to be taken", func() bool {
		got, err := old.service.Store.Trip(t.Context(), trips.TripID(trip.Id))
		return err == nil && got.Driver == oldDriver
	}, func() string { return "it is open" })
	old.awaitHeard("trip 2")

	rider.command(client.NewFrame(&wire.SendChat{TripId: trip.Id, Text: "I wear a red hat"}))
	old.awaitHeard("chat")
	if err := rider.Send(client.NewFrame(&wire.Typing{TripId: trip.Id})); err != nil {
		t.Fatal(err)
	}
	old.awaitHeard("typing")
	old.publish(t.Context(), "typing", fmt.Appendf(nil, `{"trip":%q,"from":"driver"}`, trip.Id))
	awaitFrame(rider, (*wire.ServerFrame).GetTyping)

	old.move(t.Context(), trips.TripID(trip.Id), "cancel", func(now trips.Trip, at time.Time) (trips.Event, error) {
		return now.Cancel(trips.Driver(oldDriver), "a flat tyre", at)
	})
	old.awaitHeard("trip 3")
	await(t, "the rider to hear of the end", func() bool {
		return awaitFrame(rider, (*wire.ServerFrame).GetTripEvent).Seq == 3
	}, func() string { return fmt.Sprint(rider.events) })
	if got := fmt.Sprint(rider.events); got != "[1 requested 2 reserved 3 driver_cancellation]" {
		t.Errorf("the rider heard %s", got)
	}

	stop()
	await(t, "nothing more to be said on the old region", func() bool { return followers() == 0 },
		func() string { return fmt.Sprint(followers()) })
}
