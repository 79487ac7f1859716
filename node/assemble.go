package node

import (
	"cmp"
	"fmt"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/gateway"
	"github.com/ridehail/ridehail/httpapi"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// assembleParts connects the parts. Nothing runs yet.
func (n *Node) assembleParts() error {
	n.routes = routing.NewClient(cmp.Or(n.cfg.Routing, n.ownRoutingURL()), routing.ClientOptions{Straight: n.city.Straight(), Tracing: n.tracer.Provider()})
	n.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{
		Node: n.cfg.Name, FixFilter: location.DefaultFixFilter().WithPace(n.cfg.Speed), Now: n.clock.Now})
	n.registry.MustRegister(driversCollector{n.drivers}, routingCollector{n.routes})
	n.fleet = newFleetReplicator(n)
	n.surge = newSurgeUpdater(n)
	n.follower = sharedstate.NewTripFollower(n.drivers, n.db, n.cfg.Name, n.log)
	n.offers = &offerTransport{node: n.cfg.Name, drivers: n.drivers, redis: n.redis, tracer: n.tracer, log: n.log}

	n.xray = newXrayExchange(n)

	n.assembleNews()
	n.readyChecks = n.newReadyChecks()

	service := &trips.Service{Store: n.db, Now: n.clock.Now}
	if err := n.assembleAPIs(service); err != nil {
		return err
	}
	if err := n.assembleDispatcher(service); err != nil {
		return err
	}
	service.OnCommitted = n.onCommitted
	n.offers.gateway, n.offers.dispatcher = n.gateway, n.dispatcher
	n.fleet.gateway, n.fleet.onOwnersChanged = n.gateway, n.dispatcher.ScanSoon
	return nil
}

// ownRoutingURL is the routing service in this process; empty if there is none.
func (n *Node) ownRoutingURL() string {
	if n.routingListener == nil {
		return ""
	}
	return "http://" + n.routingListener.Addr().String()
}

// assembleAPIs builds what phones and operators reach: the sockets, HTTP, and
// what both need.
func (n *Node) assembleAPIs(service *trips.Service) error {
	n.revocations = &auth.Revocations{Keeper: revocationKeeper{n.redis, n.clock.Now}, Now: n.clock.Now, Log: n.log}
	tokens, err := auth.NewTokens(n.cfg.Secret, n.revocations, n.clock.Now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}

	quoter, err := pricing.NewQuoter(n.cfg.Secret, pricing.QuoterOptions{Surge: n.surge.surge, Now: n.clock.Now})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}

	room := &chat.Room{Store: n.db, Trips: n.db, Now: n.clock.Now}
	bookings := booking.New(booking.Config{Trips: service, Router: n.routes, Quoter: quoter, Contains: n.city.Contains,
		Now: n.clock.Now, Registerer: n.registry, Tracer: n.tracer})
	n.suspects = httpapi.NewSuspects(n.registry)

	n.gateway = gateway.New(gateway.Config{
		Node: n.cfg.Name, Trips: service, Store: n.db, Room: room, Receipts: n.db, Alerts: n.db, Booking: bookings,
		Drivers: n.drivers, Inbox: dispatch.NewInbox(n.clock.Now), Auth: tokens,
		JoinNews: n.news.joinUser, LeaveNews: n.news.leaveUser,
		Publish: n.publishToUser, OnOfferDeclined: n.offers.sendDeclined, OnDriverGone: n.offers.sendDriverGone,
		OnSuspect: n.suspects.Note, OnWatchChanged: n.fleet.onWatchChanged, LookAround: n.fleet.questions.LookAround,
		Origins: n.cfg.Origins, Registerer: n.registry, Tracer: n.tracer, Now: n.clock.Now, Log: n.log,
	})

	n.revocations.OnRevoked, n.revocations.OnUnreadable = n.gateway.CloseRevoked, n.gateway.DropUnreadable
	n.live = newLiveFeed(n)
	n.api = httpapi.New(httpapi.Config{
		Trips: service, Store: n.db, Room: room, Receipts: n.db, Alerts: n.db, Drivers: n.drivers, LookAround: n.fleet.questions.LookAround,
		Booking: bookings, Tokens: tokens, Revocations: n.revocations, Suspects: n.suspects,
		Socket: n.gateway.ServeSocket, Webhook: n.newWebhook(), City: n.city, Pages: n.cfg.Pages, Live: n.live, Ready: n.checkReady, XRay: n.xray,
		DevTokens: n.cfg.DevTokens, TimeScale: n.cfg.Speed, Registerer: n.registry, Tracer: n.tracer, Now: n.clock.Now, Log: n.log,
	})

	return nil
}

func (n *Node) assembleDispatcher(service *trips.Service) error {
	policy, err := dispatch.NewPolicy(cmp.Or(n.cfg.Policy, dispatch.BatchedPolicy), n.routes, n.cfg.Speed)
	if err != nil {
		return fmt.Errorf("%w: --policy: %w", ErrUsage, err)
	}
	n.waiting = &waitingExchange{node: n.cfg.Name, ownersAround: n.members.OwnersAround, isSilent: n.members.HasEarlierBuild,
		publish: n.redis.Publish, now: n.clock.Now, log: n.log, told: map[string]toldList{}, heard: map[string]heardList{}}
	n.dispatcher = dispatch.New(dispatch.Config{Node: n.cfg.Name, Trips: service, Store: n.db, Drivers: n.drivers,
		Transport: n.offers, Now: n.clock.Now, OwnsRegion: n.members.OwnsRegion, FormerOwner: n.formerOwner, LookAround: n.fleet.questions.askOwners,
		WaitingElsewhere: n.waiting.listElsewhere, Policy: policy, Log: n.log, Registerer: n.registry, Tracer: n.tracer})
	n.waiting.listWaiting = n.dispatcher.WaitingTrips
	return nil
}

// assembleNews builds what hears the other nodes.
func (n *Node) assembleNews() {
	n.unconfirmed = map[events.Channel]bool{}
	for _, c := range n.ownChannels() {
		n.unconfirmed[c] = true
	}

	n.listener = n.redis.NewListener(events.ListenerConfig{Name: "news", Node: n.cfg.Name, Handler: n})
	n.listener.Follow(n.ownChannels()...)
	n.news = newUserNews(n.listener, func() bool { return n.redis.CheckListening() == nil })
	n.oldBuilds = &oldBuilds{node: n.cfg.Name, members: n.members, listener: n.listener, drivers: n.drivers,
		regions: n.city.Regions(), publish: n.redis.PublishAll, log: n.log}
}
