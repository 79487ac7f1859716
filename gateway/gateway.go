// Package gateway alone speaks WebSocket and HTTP: it knows the phones that are connected, checks who they are, turns
// their frames into moves of the floors below, and carries news to them. Each socket has one reader, one writer at a
// time, and one rule per kind of message for what gives way when the phone is slow:
//
//   - positions: the newest wins, and at most two may be un-acked;
//   - offers, trip events, chat, receipts, acks: ordered, in a bounded queue; when it is full the socket closes with a
//     code that says "come back and resume";
//   - typing marks and cars near a point: may be lost.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// Config is what a Gateway is built from. The functions may be called from many goroutines.
type Config struct {
	Node     string
	Desk     *trips.Desk
	Store    trips.Store
	Room     *chat.Room
	Receipts payments.Store
	Alerts   sos.Store
	Webhook  http.Handler // hears the payment provider; nil: there is none
	Drivers  *sharedstate.Drivers
	Inbox    *dispatch.Inbox // offers in the hands of the drivers connected here
	Auth     *Auth

	// Standings says how things stand for many phones, in their order, and returns the charges of their paid trips.
	// nil: each is asked for by itself in the stores above.
	Standings func(context.Context, []trips.ResumeQuery) ([]trips.ResumeState, map[trips.TripID]payments.Charge, error)
	// Quote finds and prices a way, by the plain tariff; path is empty when no way was found on roads.
	Quote func(ctx context.Context, from, to location.Point) (q trips.Quote, path []location.Point, err error)
	// Quotes says what a way costs just now and signs it; nil: plain prices, and quotes that this node alone knows.
	Quotes *pricing.Quoter
	// Publish tells all nodes something that may be lost.
	Publish func(ctx context.Context, topic string, region location.Region, payload []byte) error
	// Declined and Vanished tell the dispatcher, wherever it is, what became of an offer: the driver does not want
	// it, or their phone is gone.
	Declined, Vanished func(o dispatch.Offer)
	// Happened hears every published trip event, after the shared state has followed it; nil: nobody.
	Happened func(trips.Event)
	// Revocations keeps and tells what operators revoke; nil: this node alone knows.
	Revocations Keeper
	// Ready says why the node should get no traffic, or nil.
	Ready func(context.Context) error

	City     City                      // nil: no map is served
	Contains func(location.Point) bool // nil: everywhere

	DevTokens  bool
	TimeScale  float64  // seconds of a simulated city that pass in a second; 0 or 1 in a real one
	Origins    []string // of browsers' pages besides our own; "*" means any
	Limits     Limits
	Registerer prometheus.Registerer
	Now        func() time.Time
	Log        *slog.Logger
}

// Gateway is the public door of one node.
type Gateway struct {
	cfg       Config
	m         *metrics
	door      *door
	help      *sos.Line
	sessions  *sharedstate.Sessions[*session]
	rooms     rooms
	greeter   *greeter
	turnstile *turnstile
	turns     turns
	presence  sync.Mutex // makes a driver's coming or going one step for the sessions, the shared state and the inbox

	open     atomic.Int64 // sockets, also those that have not said hello
	draining atomic.Bool
	missed   atomic.Bool   // published messages, by the shared state
	behind   chan struct{} // some session must catch up with the store

	base context.Context // of what sessions do; ends when the drain has run out of time
	stop context.CancelFunc

	life    sync.Mutex    // guards below
	running int           // goroutines of sessions
	idle    chan struct{} // closed when none runs and none may start
	over    bool
}

// New builds a gateway. Sockets work as soon as Handler is served; Run must run beside it.
func New(cfg Config) *Gateway {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	g := &Gateway{cfg: cfg, m: newMetrics(cfg.Registerer), sessions: sharedstate.NewSessions[*session](),
		behind: make(chan struct{}, 1), idle: make(chan struct{}), rooms: rooms{of: map[trips.TripID][]*session{}, said: map[trips.TripID]uint32{}},
		turns: turns{of: map[trips.Actor]*turn{}}}
	g.help = &sos.Line{Store: cfg.Alerts, Trips: cfg.Store, Where: g.place, Now: cfg.Now}
	g.greeter = newGreeter(g.readStandings, g.spawn)
	g.turnstile = newTurnstile(cfg.Limits.JoinsPerSec, cfg.Limits.JoinBurst)
	g.base, g.stop = context.WithCancel(context.Background())
	g.door = newDoor(doorConfig{
		Desk: cfg.Desk, Store: cfg.Store, Room: cfg.Room, Receipts: cfg.Receipts, Alerts: cfg.Alerts, Webhook: cfg.Webhook,
		Drivers: cfg.Drivers, Quote: cfg.Quote, Quotes: cfg.Quotes,
		Contains: cfg.Contains, Auth: cfg.Auth, City: cfg.City, DevTokens: cfg.DevTokens, TimeScale: cfg.TimeScale,
		BodyWithin: cfg.Limits.BodyWithin, Socket: g.socket, Ready: g.ready, Revoke: g.revoke,
		Registerer: cfg.Registerer, Now: cfg.Now, Log: cfg.Log,
	}, g.m)
	return g
}

// Handler is the public door: /v1/…, the page, health.
func (g *Gateway) Handler() http.Handler { return g.door.public() }

// Admin is the operators' door: metrics, health, profiles, revocations.
func (g *Gateway) Admin() http.Handler { return g.door.admin() }

func (g *Gateway) ready(ctx context.Context) error {
	if g.draining.Load() {
		return errDraining
	}
	if g.cfg.Ready == nil {
		return nil
	}
	return g.cfg.Ready(ctx)
}

// spawn runs f in a goroutine that Drain waits for; not any more once it has waited.
func (g *Gateway) spawn(f func()) bool {
	g.life.Lock()
	defer g.life.Unlock()
	if g.over {
		return false
	}
	g.running++
	go func() {
		defer g.ended()
		f()
	}()
	return true
}

func (g *Gateway) ended() {
	g.life.Lock()
	defer g.life.Unlock()
	g.running--
	g.finishLocked()
}

func (g *Gateway) finishLocked() {
	if g.running == 0 && g.draining.Load() && !g.over {
		g.over = true
		close(g.idle)
	}
}

// Run minds what depends on time until ctx ends: cars on maps, silent phones, tokens that end, sessions that must
// catch up.
func (g *Gateway) Run(ctx context.Context) error {
	var catching sync.WaitGroup
	defer catching.Wait()
	catching.Go(func() { g.catchUpAll(ctx) })
	catching.Go(func() { g.watchOurselves(ctx) })
	catching.Go(func() { g.learnRevoked(ctx) })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			g.tick()
		}
	}
}

// Drain stops taking sockets, lets commands under way finish, and tells every phone to come back elsewhere, a few at a
// time so that the other nodes are not stormed. What is still there when ctx ends is cut off. It returns when every
// goroutine of the gateway has ended.
func (g *Gateway) Drain(ctx context.Context) {
	g.draining.Store(true)
	for i, s := range g.sessions.All(nil) {
		s.retire()
		if i%drainBatch == drainBatch-1 && !pause(ctx, 10*time.Millisecond) {
			break
		}
	}
	g.life.Lock()
	g.finishLocked()
	g.life.Unlock()
	select {
	case <-g.idle:
	case <-ctx.Done():
	}
	g.stop()
	for _, s := range g.sessions.All(nil) {
		s.conn.Close()
	}
	<-g.idle
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
