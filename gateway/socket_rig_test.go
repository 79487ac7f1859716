package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/httpapi"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen, not how long it
// takes.
const patience = 20 * time.Second

// testNode is one node's sockets and HTTP behind a real server, on a store in
// memory whose messages come back at once, as through Redis.
type testNode struct {
	*handClock
	t            testing.TB
	store        *memory
	service      *trips.Service // of another node on the same store
	drivers      *sharedstate.Drivers
	inbox        *dispatch.Inbox
	g            *Gateway
	api          *httpapi.API
	url          string // of the socket
	auth         *auth.Tokens
	revoked      *auth.Revocations
	quoter       *pricing.Quoter
	startRunning func() // starts Run, once

	read       sync.Map   // bytes from each phone, by its address
	delivering sync.Mutex // one DeliverMessage at a time

	mu sync.Mutex // guards below
	// What becomes of a message on its way; nil: it arrives.
	onMessage   func(trips.OutboxMessage) []trips.OutboxMessage
	declined    []dispatch.Offer
	driversGone []dispatch.Offer
}

// newTestNode builds and starts a node; change may alter its configuration
// first.
func newTestNode(t testing.TB, change func(*Config)) *testNode {
	t.Helper()
	return newTestNodeWith(t, change, nil)
}

// newTestNodeWith is newTestNode; changeAPI may alter the configuration of HTTP
// as well.
func newTestNodeWith(t testing.TB, change func(*Config), changeAPI func(*httpapi.Config)) *testNode {
	t.Helper()
	c := &testNode{handClock: newHandClock(), t: t, store: newMemory()}
	c.store.onCommit = c.relayMessage
	c.service = &trips.Service{Store: c.store, Now: c.now}
	c.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{Now: c.now})
	c.inbox = dispatch.NewInbox(c.now)
	c.revoked = &auth.Revocations{Now: c.now, OnRevoked: func() { c.g.CloseRevoked() }}
	c.auth = testTokens(t, c.revoked, c.now)
	registry := prometheus.NewRegistry()
	suspects := httpapi.NewSuspects(registry)
	cfg := Config{
		Node: "node", Trips: &trips.Service{Store: c.store, Now: c.now}, Store: c.store, Room: &chat.Room{Store: c.store, Trips: c.store, Now: c.now},
		Receipts: c.store, Alerts: c.store,
		Drivers: c.drivers, Inbox: c.inbox, Auth: c.auth, Publish: c.publishMessage,
		OnOfferDeclined: func(o dispatch.Offer) { c.noteOffer(&c.declined, o) },
		OnDriverGone:    func(o dispatch.Offer) { c.noteOffer(&c.driversGone, o) }, OnSuspect: suspects.Note,
		Limits:     Limits{FramesPerSec: 10_000, Burst: 10_000},
		Registerer: registry, Now: c.now, Log: slog.New(slog.DiscardHandler),
	}

	if change != nil {
		change(&cfg)
	}
	c.quoter = testQuoter(t, c.now)
	cfg.Booking = booking.New(booking.Config{Trips: cfg.Trips, Router: byAir{}, Quoter: c.quoter, Now: c.now, Registerer: registry})
	c.revoked.Log = cfg.Log
	c.g = New(cfg)
	c.g.resumes.pace.SetLimit(rate.Inf) // no phone of a test waits for others
	cfg.Trips.OnCommitted = func(ev trips.Event) {
		c.drivers.Follow(ev.Trip)
		suspects.NoteTripEvent(ev)
		c.g.DeliverCommitted(ev)
	}
	c.api = c.newAPI(cfg, suspects, changeAPI)
	c.startServer()
	return c
}

func (c *testNode) newAPI(cfg Config, suspects *httpapi.Suspects, change func(*httpapi.Config)) *httpapi.API {
	ac := httpapi.Config{
		Trips: cfg.Trips, Store: cfg.Store, Room: cfg.Room, Receipts: cfg.Receipts, Alerts: cfg.Alerts, Drivers: cfg.Drivers,
		Booking: cfg.Booking, Tokens: cfg.Auth, Revocations: c.revoked, Suspects: suspects, Socket: c.g.ServeSocket,
		Ready: func(context.Context) error {
			if c.g.draining.Load() {
				return errDraining
			}
			return nil
		},
		Registerer: cfg.Registerer, Now: cfg.Now, Log: cfg.Log,
	}

	if change != nil {
		change(&ac)
	}

	return httpapi.New(ac)
}

// startServer starts a real server, and stops it when the test ends.
func (c *testNode) startServer() {
	server := httptest.NewUnstartedServer(c.api.Public())
	server.Listener = tightListener{server.Listener, &c.read}
	server.Start()
	c.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/ws"
	ctx, stop := context.WithCancel(context.Background())

	var running sync.WaitGroup
	c.startRunning = sync.OnceFunc(func() {
		running.Go(func() { _ = c.g.Run(ctx) })
		running.Go(func() { _ = c.revoked.Run(ctx) })
	})

	c.t.Cleanup(func() {
		drain, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c.g.Drain(drain)
		stop()
		running.Wait()
		server.Close()
	})
}

// tightListener gives its connections small buffers, so that a phone that does
// not read is soon noticed, and counts what is read from them.
type tightListener struct {
	net.Listener
	read *sync.Map
}

type countedConn struct {
	net.Conn
	read *atomic.Int64
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

func (l tightListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(4 << 10)
	}
	if err != nil {
		return nil, err
	}

	read := new(atomic.Int64)
	l.read.Store(conn.RemoteAddr().String(), read)
	return countedConn{conn, read}, nil
}

// readFrom says how many bytes the node has read from a phone.
func (c *testNode) readFrom(p *phone) int64 {
	n, _ := c.read.Load(p.conn.LocalAddr().String())
	return n.(*atomic.Int64).Load()
}

func (c *testNode) noteOffer(list *[]dispatch.Offer, o dispatch.Offer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*list = append(*list, o)
}

// loseMessages decides from now on what becomes of messages; nil lets them
// arrive.
func (c *testNode) loseMessages(f func(trips.OutboxMessage) []trips.OutboxMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onMessage = f
}

func loseAll(trips.OutboxMessage) []trips.OutboxMessage { return nil }

func (c *testNode) relayMessage(n trips.OutboxMessage) {
	c.mu.Lock()
	change := c.onMessage
	c.mu.Unlock()

	arrive := []trips.OutboxMessage{n}
	if change != nil {
		arrive = change(n)
	}

	c.deliverMessages(arrive...)
}

func (c *testNode) deliverMessages(messages ...trips.OutboxMessage) {
	c.delivering.Lock()
	defer c.delivering.Unlock()
	for _, n := range messages {
		deliverAsNode(c.g, n)
	}
}

// deliverAsNode hands a message to the shared state and the gateway, as a node
// does.
func deliverAsNode(g *Gateway, n trips.OutboxMessage) {
	if n.Topic != trips.TopicTrip {
		g.DeliverMessage(string(n.Topic), n.Payload)
		return
	}
	var ev trips.Event
	if err := json.Unmarshal(n.Payload, &ev); err != nil {
		panic(err) // the store in memory wrote it
	}

	g.cfg.Drivers.Follow(ev.Trip)
	g.DeliverTripEvent(ev)
}

func (c *testNode) publishMessage(_ context.Context, to trips.Actor, topic string, _ location.Region, payload []byte) error {
	c.delivering.Lock()
	defer c.delivering.Unlock()
	c.g.DeliverMessageTo(to, topic, payload)
	return nil
}

// awaitCondition waits for something outside a phone.
func (c *testNode) awaitCondition(what string, is func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

// countFixes counts the drivers' fixes by result.
func (c *testNode) countFixes(result string) int {
	return int(testutil.ToFloat64(c.g.metrics.updates.WithLabelValues(result)))
}

func (c *testNode) countDrops(reason string) int {
	return int(testutil.ToFloat64(c.g.metrics.drops.WithLabelValues(reason)))
}

// countDelivery counts messages for phones by what became of them.
func (c *testNode) countDelivery(of class, what outcome) int {
	return int(testutil.ToFloat64(c.g.metrics.delivery[of][what]))
}

// sendOffer puts a trip into a driver's hands, as the dispatcher would.
func (c *testNode) sendOffer(id string, driver trips.DriverID, trip trips.TripID) dispatch.Offer {
	c.t.Helper()
	t, err := c.store.Trip(c.t.Context(), trip)
	if err != nil {
		c.t.Fatal(err)
	}

	o := dispatch.Offer{ID: id, Trip: t, Driver: driver, Node: "node", Epoch: 1, ExpiresAt: c.now().Add(time.Hour), Metres: 120,
		Pickup: 20 * time.Second}
	if err := c.g.DeliverOffer(o); err != nil {
		c.t.Fatal(err)
	}
	return o
}

// openTrip opens a trip behind the phones' back; step moves it on.
func (c *testNode) openTrip(rider trips.RiderID) trips.TripID {
	c.t.Helper()
	c.pass(time.Second)
	key := trips.IdempotencyKey{Actor: trips.Rider(rider), ID: fmt.Sprint("request at ", c.now())}
	ev, err := c.service.RequestTrip(c.t.Context(), key, rider, market, airport, trips.Quote{Fare: trips.Money{Minor: 100, Currency: "NGN"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return ev.Trip.ID
}

func (c *testNode) moveTrip(driver trips.DriverID, id trips.TripID, kinds ...trips.Kind) {
	c.t.Helper()
	c.moveTripWith(c.service, driver, id, kinds...)
}

func (c *testNode) moveTripWith(service *trips.Service, driver trips.DriverID, id trips.TripID, kinds ...trips.Kind) {
	c.t.Helper()
	by := trips.Driver(driver)
	verbs := map[trips.Kind]trips.Transition{
		trips.KindReserved:     func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(driver, at) },
		trips.KindArrived:      func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Arrive(by, at) },
		trips.KindOnTrip:       func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Start(by, at) },
		trips.KindCompleted:    func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Complete(by, at) },
		trips.KindDriverCancel: func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Cancel(by, "", at) },
	}

	for _, kind := range kinds {
		c.pass(time.Second)
		commitStep(c.t, service, string(driver), id, verbs[kind])
	}
}

// sendChat adds to a trip's chat behind the phones' back.
func (c *testNode) sendChat(from trips.Actor, id trips.TripID, text string) {
	c.t.Helper()
	if _, err := c.g.cfg.Room.Send(c.t.Context(), from, id, text, text); err != nil {
		c.t.Fatal(err)
	}
}

// newDialer opens sockets whose buffers are small, too.
func newDialer(subprotocol string) *websocket.Dialer {
	d := &websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4 << 10)
		}
		return conn, err
	}}

	if subprotocol != "" {
		d.Subprotocols = []string{subprotocol}
	}
	return d
}

// dialSocket opens a socket and says nothing.
func (c *testNode) dialSocket(subprotocol string) *websocket.Conn {
	c.t.Helper()
	conn, resp, err := newDialer(subprotocol).DialContext(c.t.Context(), c.url, nil)
	if err != nil {
		c.t.Fatalf("%v (%v)", err, resp)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// dialRefused dials and returns the HTTP status of the refusal.
func (c *testNode) dialRefused(header http.Header) int {
	c.t.Helper()
	conn, resp, err := newDialer(wire.SubprotocolJSON).DialContext(c.t.Context(), c.url, header)
	if err == nil {
		conn.Close()
		return http.StatusSwitchingProtocols
	}
	if !errors.Is(err, websocket.ErrBadHandshake) {
		c.t.Fatal(err)
	}
	return resp.StatusCode
}
