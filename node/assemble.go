package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/gateway"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// assemble connects the parts. Nothing runs yet.
func (n *Node) assemble() error {
	n.routes = routing.NewClient(cmp.Or(n.cfg.Routing, n.ownRoutingURL()), routing.ClientOptions{Straight: n.city.Straight()})
	n.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{
		Judge: location.DefaultJudge().Faster(n.cfg.Speed), Now: n.clock.Now})
	n.registry.MustRegister(driversCollector{n.drivers}, routingCollector{n.routes})
	n.surge = newSurgeUpdater(n.drivers, n.clock.Now, n.registry)
	n.offers = &offerTransport{node: n.cfg.Name, drivers: n.drivers, redis: n.redis, log: n.log}

	desk := &trips.Desk{Store: n.db, Now: n.clock.Now}
	if err := n.assembleGateway(desk); err != nil {
		return err
	}
	if err := n.assembleDispatcher(desk); err != nil {
		return err
	}
	desk.Committed = n.onCommitted
	n.offers.gateway, n.offers.dispatcher = n.gateway, n.dispatcher
	n.fleet = &fleetReplicator{node: n.cfg.Name, drivers: n.drivers, members: n.members, onMoved: n.gateway.Moved,
		publish: n.publish, log: n.log}
	return nil
}

// ownRoutingURL is the routing service in this process; empty if there is none.
func (n *Node) ownRoutingURL() string {
	if n.routingListener == nil {
		return ""
	}
	return "http://" + n.routingListener.Addr().String()
}

func (n *Node) assembleGateway(desk *trips.Desk) error {
	auth, err := gateway.NewAuth(n.cfg.Secret, n.clock.Now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	quotes, err := pricing.NewQuoter(n.cfg.Secret, pricing.QuoterOptions{Surge: n.surge.surge, Now: n.clock.Now})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}

	n.gateway = gateway.New(gateway.Config{
		Node: n.cfg.Name, Desk: desk, Store: n.db, Room: &chat.Room{Store: n.db, Trips: n.db, Now: n.clock.Now}, Receipts: n.db,
		Alerts: n.db, Standings: n.db.ResumeStates,
		Drivers: n.drivers, Inbox: dispatch.NewInbox(n.clock.Now), Auth: auth, Quote: n.quote, Quotes: quotes, Publish: n.publish,
		Declined: n.offers.declined, Vanished: n.offers.driverGone, Happened: n.onTripEvent, Ready: n.ready,
		Revocations: revocations{n.redis, n.clock.Now}, Webhook: n.webhook(),
		Now: n.clock.Now, City: n.city, Contains: n.city.Contains, DevTokens: n.cfg.DevTokens, TimeScale: n.cfg.Speed,
		Origins:    n.cfg.Origins,
		Registerer: n.registry, Log: n.log,
	})
	return nil
}

func (n *Node) assembleDispatcher(desk *trips.Desk) error {
	policy, err := dispatch.PolicyNamed(cmp.Or(n.cfg.Policy, dispatch.BatchedPolicy), n.routes, n.cfg.Speed)
	if err != nil {
		return fmt.Errorf("%w: --policy: %w", ErrUsage, err)
	}
	n.dispatcher = dispatch.New(dispatch.Config{Node: n.cfg.Name, Desk: desk, Store: n.db, Drivers: n.drivers,
		Courier: n.offers, Now: n.clock.Now, Owns: n.members.Owns, Policy: policy, Log: n.log, Registerer: n.registry})
	return nil
}

// quote finds a way and prices it by the plain tariff. Both ends must be near a
// road even when the routing service is away.
func (n *Node) quote(ctx context.Context, from, to location.Point) (trips.Quote, []location.Point, error) {
	way, err := n.routes.Route(ctx, from, to)
	if err != nil {
		return trips.Quote{}, nil, err
	}

	q := trips.Quote{Metres: way.Metres, Duration: way.Duration, Source: way.Source,
		Fare: trips.DefaultTariff.Fare(way.Metres, way.Duration)}
	if way.Source != routing.SourceRoad {
		return q, nil, nil
	}
	return q, way.Path, nil
}

// publish tells all nodes that listen to the region; the message may be lost.
func (n *Node) publish(ctx context.Context, topic string, region location.Region, payload []byte) error {
	return n.redis.Publish(ctx, events.Message{Topic: topic, Region: region, Payload: payload})
}

// ready returns why this node should get no traffic, or nil.
func (n *Node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	select {
	case <-n.subscribed:
	default:
		return errors.New("not subscribed to Redis yet")
	}

	redis := make(chan error, 1)
	go func() { redis <- n.redis.Ping(ctx) }() // both at once, so that one that hangs is not blamed on the other
	return errors.Join(n.db.Ping(ctx), <-redis)
}
