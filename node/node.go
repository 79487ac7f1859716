// Package node is one process of the service: what it is made of, in which
// order its parts start and stop, and which parts get each published event.
// Data goes one way: socket, location, shared state, dispatch, trips, database,
// outbox, Redis, socket. A test may start several nodes in one process.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/gateway"
	"github.com/ridehail/ridehail/httpapi"
	"github.com/ridehail/ridehail/internal/clock"
	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/xray"
)

// Config is what a node is built from.
type Config struct {
	Name   string // unique among nodes
	Listen string // address of the public API
	Admin  string // address of the admin API; empty: none

	// What the node uses.
	Database       string // postgres://… or a SQLite file
	DatabaseConns  int    // to Postgres at once; zero: what the URL says, or 16
	Redis          string // redis://…; empty: embedded
	City           string // seed or file
	Routing        string // URL of the routing service; empty: in this process
	Provider       string // URL of the payment provider; empty: no settlement
	ProviderSecret string

	Policy      string        // of dispatch; empty: batched
	Secret      []byte        // of tokens and quotes; at least 32 bytes
	DevTokens   bool          // give tokens to anyone, for development
	Origins     []string      // of browsers' pages besides our own
	ClockOffset time.Duration // added to the machine's clock, to try a wrong one
	Speed       float64       // of simulated time, which the fix filter must know
	Log         *slog.Logger

	// DrainDelay is how long Run goes on with all work after its context has
	// ended, while the node already says that it is not ready: load balancers
	// send no more phones before the sockets close. 0: close them at once.
	DrainDelay time.Duration
	// SkipDelay, when it is closed, ends that delay at once; nil: never.
	SkipDelay <-chan struct{}

	// TraceRatio is the share of trips whose hops are recorded, 0 to 1.
	TraceRatio float64
	// TraceBytes bounds the rides that are kept in memory; 0: 16 MB.
	TraceBytes int

	// Faults are the switches of the X-ray page; nil: there are none.
	Faults func() []xray.Fault

	// Pages are more handlers of the public API, by the path that they answer;
	// a path that ends in a slash stands for all below it.
	Pages map[string]http.Handler

	// OnTripEvent is called for every published trip event of the regions that
	// this node owns, in order, by the goroutine that listens to Redis. Events
	// may repeat. It must not block; nil: ignored.
	OnTripEvent func(trips.Event)
}

// The job streams in Redis.
const (
	SettlementStream = "settlements" // completed trips
	SOSStream        = "alerts"      // calls for help
)

const (
	memberTTL    = 4 * time.Second
	drainTimeout = 10 * time.Second
	forgetAfter  = time.Hour // since a driver left

	// traceFlushTimeout is how long a node that ends waits for a collector.
	traceFlushTimeout = 2 * time.Second
)

// The errors of Open that a caller must tell apart; the wrapping error says
// what to do.
var (
	ErrUsage       = store.ErrUsage
	ErrUnreachable = store.ErrUnreachable
)

// Node is one process's part of the service. Open it, Run it, Close it. Its
// fields are fixed by Open.
type Node struct {
	cfg      Config
	log      *slog.Logger
	registry *prometheus.Registry
	closers  []func() error // of what Open opened, in order

	// What the node stands on.
	clock           *clock.Clock
	timeSource      clock.Source // nil: the machine
	city            *routing.City
	tracer          *tracing.Tracer // nil: no hop is recorded
	db              store.Store     // the one that wakes the relay
	redis           *events.Redis
	public          net.Listener
	admin           net.Listener // nil: none
	routingListener net.Listener // of the routing service in this process

	// The parts, in the order of the data's way.
	api         *httpapi.API
	live        *liveFeed
	suspects    *httpapi.Suspects
	gateway     *gateway.Gateway
	revocations *auth.Revocations
	drivers     *sharedstate.Drivers
	follower    *sharedstate.TripFollower
	fleet       *fleetReplicator
	members     *events.Members
	listener    *events.Listener
	news        *userNews
	oldBuilds   *oldBuilds
	routes      *routing.Client
	surge       *surgeUpdater
	dispatcher  *dispatch.Dispatcher
	waiting     *waitingExchange
	xray        *xrayExchange
	offers      *offerTransport
	relay       *events.Relay

	// subscribed is closed when published messages arrive on all channels that
	// the node needs. unconfirmed holds those that are missing; it is of the
	// goroutine that listens to Redis.
	subscribed  chan struct{}
	unconfirmed map[events.Channel]bool
	stopping    atomic.Bool   // the node should get no traffic any more
	readyChecks []*readyCheck // what /readyz asks
}

// Open opens everything that can fail to open. The caller must Close what it
// returns, also beside an error. Errors wrap ErrUsage or ErrUnreachable where
// these apply.
func Open(ctx context.Context, cfg Config) (n *Node, err error) {
	n = &Node{cfg: cfg, log: cfg.Log.With("node", cfg.Name), clock: clock.New(cfg.ClockOffset),
		registry: prometheus.NewRegistry(), subscribed: make(chan struct{})}
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	if err := cfg.checkSettings(); err != nil {
		return n, err
	}
	if n.city, err = routing.Open(cfg.City); err != nil {
		return n, fmt.Errorf("%w: city: %w", ErrUsage, err)
	}

	if err := n.openTracer(ctx); err != nil {
		return n, err
	}
	db, err := n.openStore(ctx)
	if err != nil {
		return n, err
	}
	if err := n.setClock(ctx, db); err != nil {
		return n, err
	}
	if err := n.openRedis(ctx); err != nil {
		return n, err
	}

	n.members = events.NewMembers(n.redis, cfg.Name, memberTTL)
	n.relay = events.NewRelay(n.redis, db, events.RelayConfig{Node: cfg.Name, ShardHolder: n.shardHolder, Audience: n.audienceOf,
		Streams: map[trips.Kind]string{trips.KindCompleted: SettlementStream, sos.KindSOS: SOSStream}, Now: n.clock.Now})
	n.db = notifyingStore{db, n.relay.WakeHolder, newMoveCounts(n.registry)}
	if err := n.openListeners(); err != nil {
		return n, err
	}

	if err := n.assembleParts(); err != nil {
		return n, err
	}
	n.warnOfRouting(ctx)
	return n, nil
}

// openTracer begins to record hops, if any are wanted.
func (n *Node) openTracer(ctx context.Context) (err error) {
	n.tracer, err = tracing.New(ctx, tracing.Config{Node: n.cfg.Name, Ratio: n.cfg.TraceRatio, RingBytes: n.cfg.TraceBytes,
		Registerer: n.registry, Now: n.clock.Now, Log: n.log})
	if err != nil {
		return fmt.Errorf("%w: the collector of OTEL_EXPORTER_OTLP_ENDPOINT: %w", ErrUsage, err)
	}

	n.closers = append(n.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), traceFlushTimeout)
		defer cancel()
		return n.tracer.Close(ctx)
	})
	return nil
}

func (n *Node) openStore(ctx context.Context) (store.Store, error) {
	release, err := store.Claim(n.cfg.Database)
	if err != nil {
		return nil, err
	}
	n.closers = append(n.closers, release)

	db, closeStore, err := store.Open(ctx, n.cfg.Database, store.Options{MaxConns: n.cfg.DatabaseConns, Log: n.log, Tracer: n.tracer})
	if err != nil {
		return nil, err
	}

	n.closers = append(n.closers, closeStore)
	if pooled, ok := db.(store.Pooled); ok {
		n.registry.MustRegister(poolCollector{pooled})
	}
	return db, nil
}

func (n *Node) openRedis(ctx context.Context) (err error) {
	opts := []events.Option{events.WithLog(n.log), events.WithRegisterer(n.registry), events.WithTracer(n.tracer)}
	if n.cfg.Redis == "" {
		n.redis, err = events.OpenEmbedded(opts...)
	} else if n.redis, err = events.Open(ctx, n.cfg.Redis, opts...); errors.Is(err, events.ErrAddress) {
		err = fmt.Errorf("%w: --redis: %w", ErrUsage, err)
	} else if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}

	if err == nil {
		n.closers = append(n.closers, n.redis.Close)
	}
	return err
}

// openListeners takes the addresses before anything runs, so that a taken one
// is reported at once.
func (n *Node) openListeners() (err error) {
	if n.public, err = n.openListener("--listen", n.cfg.Listen); err != nil {
		return err
	}

	if n.cfg.Admin != "" {
		if n.admin, err = n.openListener("--admin", n.cfg.Admin); err != nil {
			return err
		}
	}

	if n.cfg.Routing == "" {
		n.routingListener, err = n.openListener("the routing service", "127.0.0.1:0")
	}
	return err
}

func (n *Node) openListener(name, address string) (net.Listener, error) {
	l, err := httpserver.Listen(name, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}

	// Its server has mostly closed it before.
	n.closers = append(n.closers, func() error { l.Close(); return nil })
	return l, nil
}

// Run serves until ctx ends and every part has stopped. It calls onReady once,
// when the node takes sockets. Once ctx has ended the node is not ready any
// more; it goes on with all work for DrainDelay, then sends its phones to other
// nodes, and only then stops its parts.
func (n *Node) Run(ctx context.Context, onReady func()) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	parts := newParts(work)

	n.startBackground(parts)

	select {
	case <-n.subscribed:
	case <-parts.ctx.Done():
	case <-ctx.Done():
	}

	n.startServing(parts)
	isReady := ctx.Err() == nil && parts.ctx.Err() == nil
	if isReady {
		onReady()
	}

	select {
	case <-ctx.Done():
	case <-parts.ctx.Done():
	}

	n.stopping.Store(true)
	if isReady {
		n.awaitDrainDelay(parts.ctx)
	}

	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	n.gateway.Drain(deadline)
	cancel()
	stop()
	return parts.group.Wait()
}

// awaitDrainDelay waits while load balancers find out that the node is not
// ready. It ends early when a part of the node has failed.
func (n *Node) awaitDrainDelay(working context.Context) {
	if n.cfg.DrainDelay <= 0 || working.Err() != nil {
		return
	}

	n.log.Info("the node is stopping: it is not ready any more and goes on working; a second signal ends this delay", "delay", n.cfg.DrainDelay)
	over := time.NewTimer(n.cfg.DrainDelay)
	defer over.Stop()
	select {
	case <-over.C:
	case <-n.cfg.SkipDelay:
	case <-working.Done():
	}
}

// startBackground starts what must run before the node may serve.
func (n *Node) startBackground(p *parts) {
	if n.routingListener != nil {
		p.startPart("routing service", func(ctx context.Context) error {
			return httpserver.Run(ctx, n.routingListener, routing.NewHandler(routing.NewRouter(n.city), routing.WithTracing(n.tracer.Provider())))
		})
	}

	p.startPart("listening to Redis", n.listener.Run)
	p.startPart("news of users", n.news.run)
	p.startPart("earlier builds", n.oldBuilds.run)
	if n.timeSource != nil {
		p.startPart("clock", func(ctx context.Context) error { return n.clock.Run(ctx, n.timeSource) })
	}
	p.startPart("membership", n.members.Run)
	p.startPart("relay", n.relay.Run)
	p.startPart("trip follower", n.follower.Run)
	p.startPart("gateway", n.gateway.Run)
	p.startPart("revocations", n.revocations.Run)
	p.startPart("listening for cars", n.fleet.listener.Run)
	p.startPart("fleet", n.fleet.run)
	p.startPart("cars on a trip", n.fleet.runCars)
	p.startPart("answers about cars", n.fleet.questions.run)
	p.startPart("waiting trips", n.waiting.run)
	p.startPart("answers about hops", n.xray.run)
	p.startPart("surge", n.surge.run)
	p.startPart("live feed", n.live.run)
	p.startPart("sweep", n.sweepDrivers)
	n.startSettlement(p)
	n.startSOS(p)
}

// startServing opens the node to phones and operators.
func (n *Node) startServing(p *parts) {
	p.startPart("dispatch", n.dispatcher.Run)
	p.startPart("public API", func(ctx context.Context) error { return httpserver.Run(ctx, n.public, n.api.Public()) })
	if n.admin != nil {
		p.startPart("admin API", func(ctx context.Context) error { return httpserver.Run(ctx, n.admin, n.api.Admin()) })
	}
}

// sweepDrivers forgets drivers who left long ago.
func (n *Node) sweepDrivers(ctx context.Context) error {
	return sleep.Every(ctx, time.Minute, func(context.Context) { n.drivers.RemoveInactive(n.clock.Now().Add(-forgetAfter)) })
}

// parts are the goroutines of a running node; when one fails, all end.
type parts struct {
	group *errgroup.Group
	ctx   context.Context
}

func newParts(ctx context.Context) *parts {
	group, ctx := errgroup.WithContext(ctx)
	return &parts{group: group, ctx: ctx}
}

// startPart runs a part until the node ends. An error before that ends the node
// and names the part.
func (p *parts) startPart(name string, run func(context.Context) error) {
	p.group.Go(func() error {
		if err := run(p.ctx); err != nil && p.ctx.Err() == nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// Close releases what Open opened, last first. It does nothing to a node that
// has never opened anything.
func (n *Node) Close() error {
	if n.routes != nil {
		n.routes.Close()
	}

	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	return errors.Join(errs...)
}

// Name is the node's own, unique among nodes.
func (n *Node) Name() string { return n.cfg.Name }

// PublicURL is where phones and the page find the node.
func (n *Node) PublicURL() string { return "http://" + n.public.Addr().String() }

// AdminURL is where operators find the node; empty without an admin API.
func (n *Node) AdminURL() string {
	if n.admin == nil {
		return ""
	}
	return "http://" + n.admin.Addr().String()
}

// City is the city that the node serves.
func (n *Node) City() *routing.City { return n.city }

// Tracer records the hops of rides on this node; nil if none are wanted.
func (n *Node) Tracer() *tracing.Tracer { return n.tracer }

// Drivers is the node's hot state, also of other nodes' drivers.
func (n *Node) Drivers() *sharedstate.Drivers { return n.drivers }

// Store is the node's database.
func (n *Node) Store() store.Store { return n.db }
