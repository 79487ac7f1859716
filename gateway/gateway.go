// Package gateway holds the WebSocket connections of phones. It checks their
// tokens, turns their frames into commands of the domain, and sends them what
// happens. Each socket has one reader, one writer at a time, and one rule per
// kind of message for a phone that reads slowly:
//
//   - positions: the newest wins, and at most two may be un-acked;
//   - offers, trip events, chat, receipts, acks: ordered, in a bounded queue;
//     when it is full the socket closes with a code that says "come back and
//     resume";
//   - typing marks and cars near a point: may be lost.
package gateway

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// Store is what the gateway needs of the trips' store. Calls may block until
// ctx ends.
type Store interface {
	trips.Store
	// ResumeStates answers each query, in their order, and returns the charges
	// of the trips that are paid.
	ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
		states []trips.ResumeState, receipts map[trips.TripID]payments.Charge, err error)
}

// Config is what a Gateway is built from.
type Config struct {
	Node string // its name among the nodes

	// The node's other parts, which the gateway asks and calls.
	Trips    *trips.Service
	Store    Store
	Room     *chat.Room
	Receipts payments.Store
	Alerts   sos.Store
	Booking  *booking.Service
	Drivers  *sharedstate.Drivers
	Inbox    *dispatch.Inbox // offers to drivers connected here
	Auth     *auth.Tokens

	// The callbacks. Many goroutines may call them at the same time.

	// JoinNews is called once for each session, before its state is read: from
	// then on the node hears the news of the user's trips. The channel is
	// closed when none is missed any more; nil: that is not known soon. It must
	// not block. LeaveNews is called when that session has ended. Both nil: the
	// node hears all news.
	JoinNews  func(user trips.Actor) (confirmed <-chan struct{})
	LeaveNews func(user trips.Actor)
	// Publish sends a message to the nodes that hear the news of a user's
	// trips; it may be lost. region is the trip's. The gateway calls it in a
	// goroutine of its own, so it may block until ctx ends.
	Publish func(ctx context.Context, to trips.Actor, topic string, region location.Region, payload []byte) error
	// OnOfferDeclined is called by the goroutine that runs a driver's commands
	// when the driver does not want the offer. It may block for a moment.
	OnOfferDeclined func(o dispatch.Offer)
	// OnDriverGone is called for each offer of a driver whose last session has
	// ended, by that session's reader. It may block for a moment.
	OnDriverGone func(o dispatch.Offer)
	// OnSuspect is called for each doubt about a driver's positions, by the
	// reader that took the position. It must not block; nil: ignored.
	OnSuspect func(id trips.DriverID, why location.Flags, at time.Time)

	// OnWatchChanged is called when a session here begins or ends to watch a
	// driver's car; IsWatched tells whether one still does. It must not block and
	// must not call the gateway otherwise; nil: ignored.
	OnWatchChanged func(id trips.DriverID)
	// LookAround asks other nodes for the cars in areas and puts them into
	// Drivers. It may block for a moment; nil: all cars are in Drivers.
	LookAround func(ctx context.Context, areas []sharedstate.Area) (asked int)

	Origins    []string // of browsers' pages besides our own; "*" means any
	Limits     Limits
	Registerer prometheus.Registerer
	Tracer     *tracing.Tracer  // nil: no hop is recorded
	Now        func() time.Time // nil: this machine's clock
	Log        *slog.Logger     // nil: the default one
}

// Gateway holds the sockets of one node.
type Gateway struct {
	// Fixed at creation; each guards itself.
	cfg             Config
	metrics         *metrics
	sosService      *sos.Service
	sessions        *sharedstate.Sessions[*session]
	chatSubscribers *chatSubscribers
	resumes         *resumeBatcher
	connLimiter     *connLimiter
	userLocks       *userLocks
	thoughts        *offerThoughts
	comebacks       *comebacks
	// holds one entry while a session must catch up
	gaps chan struct{}
	// holds the areas to ask other nodes about; the newest if there are several
	areasWatched chan []sharedstate.Area

	// The context of what sessions do; it ends when the drain has run out of
	// time.
	base context.Context
	stop context.CancelFunc

	// presence makes a driver's coming or going one step for the sessions, the
	// shared state and the inbox.
	presence sync.Mutex
	// guarded by presence
	leftRiders, leftDrivers frameCounts

	open     atomic.Int64 // sockets, also those that have not said hello
	draining atomic.Bool

	life    sync.Mutex    // guards below
	running int           // goroutines of sessions
	idle    chan struct{} // closed when none runs and none may start
	over    bool          // idle is closed
}

// New builds a gateway. Sockets work as soon as ServeSocket is served; Run must
// run beside it.
func New(cfg Config) *Gateway {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}

	g := &Gateway{cfg: cfg, metrics: newMetrics(cfg.Registerer), sessions: sharedstate.NewSessions[*session](),
		gaps: make(chan struct{}, 1), areasWatched: make(chan []sharedstate.Area, 1), idle: make(chan struct{}), chatSubscribers: newChatSubscribers(), userLocks: newUserLocks(),
		thoughts: &offerThoughts{open: map[string]thought{}}, comebacks: newComebacks()}
	g.sosService = &sos.Service{Store: cfg.Alerts, Trips: cfg.Store, CarPosition: g.carPosition, Now: cfg.Now}
	g.resumes = newResumeBatcher(g.readResumeStates, g.spawn)
	g.connLimiter = newConnLimiter(cfg.Limits.JoinsPerSec, cfg.Limits.JoinBurst)
	g.base, g.stop = context.WithCancel(context.Background())
	return g
}

// CloseRevoked ends the sessions whose tokens are revoked. It does not block.
func (g *Gateway) CloseRevoked() {
	for _, s := range g.sessions.All(nil) {
		s.closeIfRevoked()
	}
}

// closeIfRevoked ends the session if its token was revoked, and says whether it
// did.
func (s *session) closeIfRevoked() bool {
	if !s.g.cfg.Auth.IsRevoked(s.pass) {
		return false
	}
	s.conn.closeWith(wire.CloseTokenEnded, "your token was revoked: get a new one")
	return true
}

// spawn runs f in a goroutine that Drain waits for. It returns false, and runs
// nothing, once Drain has waited.
func (g *Gateway) spawn(f func()) bool {
	g.life.Lock()
	defer g.life.Unlock()

	if g.over {
		return false
	}
	g.running++

	go func() {
		defer g.endGoroutine()
		f()
	}()

	return true
}

func (g *Gateway) endGoroutine() {
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

// Run does what depends on time until ctx ends: cars on maps, silent phones,
// tokens that end, sessions that must catch up. It returns ctx's error.
func (g *Gateway) Run(ctx context.Context) error {
	var catching sync.WaitGroup
	defer catching.Wait()

	catching.Go(func() { g.catchUpAll(ctx) })
	catching.Go(func() { g.watchOurselves(ctx) })
	catching.Go(func() { g.lookAroundAreas(ctx) })
	return sleep.Every(ctx, time.Second, func(context.Context) { g.tickSessions() })
}

// Drain stops taking sockets, lets commands under way finish, and closes each
// session with a code that sends the phone to another node. It closes a few at
// a time, so that the other nodes are not flooded. What is still open when ctx
// ends is cut off. It returns when every goroutine of the gateway has ended.
func (g *Gateway) Drain(ctx context.Context) {
	g.draining.Store(true)

	for i, s := range g.sessions.All(nil) {
		s.retire()
		if i%drainBatch == drainBatch-1 && !sleep.For(ctx, 10*time.Millisecond) {
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
	g.recordLost(time.Time{})
}
