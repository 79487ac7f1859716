package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/gateway"
	"github.com/ridehail/ridehail/internal/clock"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// nodeConfig is what a node is built from.
type nodeConfig struct {
	Name           string
	Listen, Admin  string // addresses; Admin may be empty
	Database       string // postgres://… or a SQLite file
	Redis          string // redis://…; empty: embedded
	City           string // seed or file
	Routing        string // the routing service's URL; empty: in this process
	Policy         string // of dispatch; empty: batched
	Provider       string // the payment provider's URL; empty: nobody settles
	ProviderSecret string
	Secret         []byte // of tokens
	DevTokens      bool
	Origins        []string
	ClockOffset    time.Duration // added to the machine's clock, to try a wrong one
	Speed          float64       // of simulated time, which the judge of positions must know
	Happened       func(trips.Event)
	Log            *slog.Logger
}

const (
	settlements  = "settlements" // the stream of completed trips
	alarms       = "alerts"      // the stream of calls for help
	memberTTL    = 4 * time.Second
	drainWithin  = 10 * time.Second
	forgetAfter  = time.Hour // a driver who left
	readyTimeout = time.Second
)

// node is one process's part of the service. The data goes one way: socket, location, shared state, dispatch, trips,
// database, outbox, Redis, socket.
type node struct {
	cfg        nodeConfig
	log        *slog.Logger
	clock      *clock.Clock
	timekeeper clock.Source // nil: the machine
	city       *routing.City
	db         database // the one that tells the relay
	redis      *events.Redis
	members    *events.Members
	relay      *events.Relay
	ways       *routing.Client
	drivers    *sharedstate.Drivers
	gateway    *gateway.Gateway
	dispatcher *dispatch.Dispatcher
	mirror     *mirror
	prices     *prices
	registry   *prometheus.Registry
	public     net.Listener
	admin      net.Listener
	waysAt     net.Listener  // of the routing service in this process
	listening  chan struct{} // closed when published messages arrive
	closers    []func() error
}

// openNode opens everything that can fail to open. Close what it returns, also beside an error.
func openNode(ctx context.Context, cfg nodeConfig) (n *node, err error) {
	n = &node{cfg: cfg, log: cfg.Log.With("node", cfg.Name), clock: clock.New(cfg.ClockOffset),
		registry: prometheus.NewRegistry(), listening: make(chan struct{})}
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if n.city, err = routing.Open(cfg.City); err != nil {
		return n, fmt.Errorf("%w: city: %w", errUsage, err)
	}
	db, closeIt, err := openDatabase(ctx, cfg.Database)
	if err != nil {
		return n, err
	}
	n.closers = append(n.closers, closeIt)
	if err := n.setClock(ctx, db); err != nil {
		return n, err
	}
	if err := n.openRedis(ctx); err != nil {
		return n, err
	}
	n.relay = events.NewRelay(n.redis, db, events.RelayConfig{Node: cfg.Name,
		Streams: map[trips.Kind]string{trips.KindCompleted: settlements, sos.KindSOS: alarms}, Now: n.clock.Now})
	n.db = telling{db, n.relay.Wake}
	n.members = events.NewMembers(n.redis, cfg.Name, memberTTL)
	if err := n.listen(); err != nil {
		return n, err
	}
	return n, n.assemble()
}

func (n *node) openRedis(ctx context.Context) (err error) {
	opts := []events.Option{events.WithLog(n.log), events.WithRegisterer(n.registry)}
	if n.cfg.Redis == "" {
		n.redis, err = events.Embedded(opts...)
	} else if n.redis, err = events.Open(ctx, n.cfg.Redis, opts...); err != nil {
		err = fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if err == nil {
		n.closers = append(n.closers, n.redis.Close)
	}
	return err
}

// listen takes the addresses before anything runs, so that a taken one is told at once.
func (n *node) listen() (err error) {
	open := func(address string) (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("%w; choose another address with --listen or --admin", err)
		}
		n.closers = append(n.closers, func() error { l.Close(); return nil }) // closed by its server before, mostly
		return l, nil
	}
	if n.public, err = open(n.cfg.Listen); err != nil {
		return err
	}
	if n.cfg.Admin != "" {
		if n.admin, err = open(n.cfg.Admin); err != nil {
			return err
		}
	}
	if n.cfg.Routing == "" {
		n.waysAt, err = open("127.0.0.1:0")
	}
	return err
}

// assemble connects the parts.
func (n *node) assemble() error {
	auth, err := gateway.NewAuth(n.cfg.Secret, n.clock.Now)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	waysURL := n.cfg.Routing
	if waysURL == "" {
		waysURL = "http://" + n.waysAt.Addr().String()
	}
	n.ways = routing.NewClient(waysURL, routing.ClientOptions{Straight: n.city.Straight()})
	n.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{Judge: location.DefaultJudge().Faster(n.cfg.Speed), Now: n.clock.Now})
	n.registry.MustRegister(driversCollector{n.drivers}, waysCollector{n.ways})
	n.prices = newPrices(n.drivers, n.clock.Now, n.registry)
	quotes, err := pricing.NewQuoter(n.cfg.Secret, pricing.QuoterOptions{Surge: n.prices.surge, Now: n.clock.Now})
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	policy, err := dispatch.PolicyNamed(cmp.Or(n.cfg.Policy, dispatch.BatchedPolicy), n.ways, n.cfg.Speed)
	if err != nil {
		return fmt.Errorf("%w: --policy: %w", errUsage, err)
	}
	desk := &trips.Desk{Store: n.db, Now: n.clock.Now}
	inbox := dispatch.NewInbox(n.clock.Now)
	carrier := &carrier{n}
	n.gateway = gateway.New(gateway.Config{
		Node: n.cfg.Name, Desk: desk, Store: n.db, Room: &chat.Room{Store: n.db, Trips: n.db, Now: n.clock.Now}, Receipts: n.db,
		Alerts: n.db, Standings: together(n.db),
		Drivers: n.drivers, Inbox: inbox, Auth: auth, Quote: n.quote, Quotes: quotes, Publish: n.publish,
		Declined: carrier.declined, Vanished: carrier.vanished, Happened: n.happened, Ready: n.ready,
		Revocations: revocations{n.redis, n.clock.Now}, Webhook: n.webhook(),
		Now: n.clock.Now, City: n.city, Contains: n.city.Contains, DevTokens: n.cfg.DevTokens, TimeScale: n.cfg.Speed,
		Origins:    n.cfg.Origins,
		Registerer: n.registry, Log: n.log,
	})
	n.dispatcher = dispatch.New(dispatch.Config{Node: n.cfg.Name, Desk: desk, Store: n.db, Drivers: n.drivers, Courier: carrier,
		Now: n.clock.Now, Owns: n.members.Owns, Policy: policy, Log: n.log, Registerer: n.registry})
	desk.Committed = n.committed
	n.mirror = &mirror{node: n.cfg.Name, drivers: n.drivers, members: n.members, moved: n.gateway.Moved,
		publish: n.publish, log: n.log}
	return nil
}

// quote finds a way and prices it by the plain tariff. Both ends must be near a road even when the routing service is away.
func (n *node) quote(ctx context.Context, from, to location.Point) (trips.Quote, []location.Point, error) {
	way, err := n.ways.Route(ctx, from, to)
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

func (n *node) publish(ctx context.Context, topic string, region location.Region, payload []byte) error {
	return n.redis.Publish(ctx, events.Message{Topic: topic, Region: region, Payload: payload})
}

// committed hears this node's own moves before Redis does. A new trip is left to the news or the scan: a search that began
// now and was over when the news came would be begun again.
func (n *node) committed(ev trips.Event) {
	n.gateway.Committed(ev)
	if ev.Trip.State != trips.Requested {
		n.dispatcher.Hint(ev)
	}
}

func (n *node) happened(ev trips.Event) {
	n.dispatcher.Hint(ev)
	n.prices.happened(ev)
	if n.cfg.Happened != nil {
		n.cfg.Happened(ev)
	}
}

// ready says why this node should get no traffic.
func (n *node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	select {
	case <-n.listening:
	default:
		return errors.New("not subscribed to Redis yet")
	}
	redis := make(chan error, 1)
	go func() { redis <- n.redis.Ping(ctx) }() // both at once, so that one that hangs is not blamed on the other
	return errors.Join(n.db.Ping(ctx), <-redis)
}

// Message and Gap make the node an events.Handler.
func (n *node) Message(m events.Message) {
	switch m.Topic {
	case topicFleet:
		n.mirror.take(m.Payload)
	case topicOffer, topicWithdraw, topicDeclined, topicVanished:
		(&carrier{n}).received(m)
	default:
		n.gateway.Deliver(m.Topic, m.Payload)
	}
}

func (n *node) Gap(why string) {
	if why == events.GapSubscribed {
		close(n.listening)
	} else {
		n.log.Warn("messages may have been missed, reading the database again", "why", why)
	}
	n.gateway.Gap()
}

// run serves until ctx ends and everything that runs has ended. It calls ready when the node takes sockets.
func (n *node) run(ctx context.Context, ready func()) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	team, work := errgroup.WithContext(work)
	mind := func(name string, f func(context.Context) error) {
		team.Go(func() error {
			if err := f(work); err != nil && work.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	if n.waysAt != nil {
		mind("routing service", func(ctx context.Context) error {
			return serveHTTP(ctx, n.waysAt, routing.NewHandler(routing.NewRouter(n.city)))
		})
	}
	mind("listening to Redis", func(ctx context.Context) error {
		return n.redis.Listen(ctx, n.cfg.Name, append(n.city.Regions(), everywhere), n)
	})
	if n.timekeeper != nil {
		mind("clock", func(ctx context.Context) error { return n.clock.Run(ctx, n.timekeeper) })
	}
	mind("membership", n.members.Run)
	mind("relay", n.relay.Run)
	mind("gateway", n.gateway.Run)
	mind("mirror", n.mirror.run)
	mind("prices", n.prices.run)
	mind("sweep", n.sweep)
	n.settle(mind)
	n.watch(mind)
	select {
	case <-n.listening:
	case <-work.Done():
	case <-ctx.Done():
	}
	mind("dispatch", n.dispatcher.Run)
	mind("public door", func(ctx context.Context) error { return serveHTTP(ctx, n.public, n.gateway.Handler()) })
	if n.admin != nil {
		mind("admin door", func(ctx context.Context) error { return serveHTTP(ctx, n.admin, n.gateway.Admin()) })
	}
	if ctx.Err() == nil && work.Err() == nil {
		ready()
	}
	select {
	case <-ctx.Done():
	case <-work.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	n.gateway.Drain(late)
	cancel()
	stop()
	return team.Wait()
}

// webhook hears the payment provider, if there is one.
func (n *node) webhook() http.Handler {
	if n.cfg.Provider == "" {
		return nil
	}
	return &payments.Webhook{Secret: n.cfg.ProviderSecret, Charges: n.db, Refunds: n.db, Queue: n.redis,
		Stream: settlements, Now: n.clock.Now, Log: n.log}
}

// settle runs the settlement of completed trips, if there is a provider.
func (n *node) settle(mind func(string, func(context.Context) error)) {
	if n.cfg.Provider == "" {
		n.log.Warn("completed trips wait unpaid: name a payment provider with --provider (try: ridehail payments)")
		return
	}
	settler := newSettler(n.db, n.cfg.Provider, n.cfg.ProviderSecret)
	settler.Budget = new(payments.Budget)
	settler.Now = n.clock.Now
	lost := make(chan struct{}, 1)
	worker := &events.Worker{Redis: n.redis, Stream: settlements, Consumer: n.cfg.Name, Handle: settler.Handle,
		OnLost: func() {
			select {
			case lost <- struct{}{}:
			default: // it will be looked at anyway
			}
		},
		OnDead: func(j events.Job, err error) {
			n.log.Error("a settlement was given up and left as a dead letter", "trip", j.ID, "err", err)
		}}
	mind("settlement", worker.Run)
	mind("reconciler", (&payments.Reconciler{Charges: n.db, Refunds: n.db, Queue: n.redis, Stream: settlements, Lost: lost,
		Budget: settler.Budget, Now: n.clock.Now, Log: n.log}).Run)
}

// watch brings calls for help before the operators.
func (n *node) watch(mind func(string, func(context.Context) error)) {
	w := sos.NewWatch(sos.WatchConfig{Store: n.db, Queue: n.redis, Stream: alarms, Registerer: n.registry,
		Now: n.clock.Now, Log: n.log})
	worker := &events.Worker{Redis: n.redis, Stream: alarms, Consumer: n.cfg.Name, Handle: w.Handle,
		OnDead: func(j events.Job, err error) {
			n.log.Error("a call for help was given up and left as a dead letter; it is on the operators' page all the same",
				"trip", j.ID, "err", err)
		}}
	mind("alerts", worker.Run)
	mind("watch over alerts", w.Run)
}

// sweep forgets drivers who left long ago.
func (n *node) sweep(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			n.drivers.Sweep(n.clock.Now().Add(-forgetAfter))
		}
	}
}

// close releases what openNode opened, last first.
func (n *node) close() error {
	if n.ways != nil {
		n.ways.Close()
	}
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	return errors.Join(errs...)
}

// serveHTTP serves until ctx ends, and then lets requests under way finish.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true) // for gRPC
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := srv.Shutdown(late)
	if err != nil {
		err = srv.Close()
	}
	<-served
	return err
}
