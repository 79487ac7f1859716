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

// town is one node's sockets and HTTP behind a real server, on a store in
// memory whose notices come back at once, as through Redis.
type town struct {
	*handClock
	t       testing.TB
	store   *memory
	desk    *trips.Service // of another node on the same store
	drivers *sharedstate.Drivers
	inbox   *dispatch.Inbox
	g       *Gateway
	api     *httpapi.API
	url     string // of the socket
	auth    *auth.Tokens
	revoked *auth.Revocations
	quoter  *pricing.Quoter
	runs    func() // starts Run, once

	read    sync.Map   // bytes from each phone, by its address
	telling sync.Mutex // one Deliver at a time

	mu sync.Mutex // guards below
	// what becomes of a notice on its way; nil: it arrives
	onNotice func(trips.OutboxMessage) []trips.OutboxMessage
	declined []dispatch.Offer
	vanished []dispatch.Offer
}

// newTown builds and starts a node; change may alter its configuration first.
func newTown(t testing.TB, change func(*Config)) *town {
	t.Helper()
	return newTownWith(t, change, nil)
}

// newTownWith is newTown; changeAPI may alter the configuration of HTTP as
// well.
func newTownWith(t testing.TB, change func(*Config), changeAPI func(*httpapi.Config)) *town {
	t.Helper()
	c := &town{handClock: newHandClock(), t: t, store: newMemory()}
	c.store.onNotice = c.relay
	c.desk = &trips.Service{Store: c.store, Now: c.now}
	c.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{Now: c.now})
	c.inbox = dispatch.NewInbox(c.now)
	c.revoked = &auth.Revocations{Now: c.now, OnRevoked: func() { c.g.CloseRevoked() }}
	c.auth = testTokens(t, c.revoked, c.now)
	registry := prometheus.NewRegistry()
	suspects := httpapi.NewSuspects(registry)
	cfg := Config{
		Node: "node", Trips: &trips.Service{Store: c.store, Now: c.now}, Store: c.store, Room: &chat.Room{Store: c.store, Trips: c.store, Now: c.now},
		Receipts: c.store, Alerts: c.store,
		Drivers: c.drivers, Inbox: c.inbox, Auth: c.auth, Publish: c.publish,
		OnOfferDeclined: func(o dispatch.Offer) { c.note(&c.declined, o) },
		OnDriverGone:    func(o dispatch.Offer) { c.note(&c.vanished, o) }, OnSuspect: suspects.Note,
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
		c.g.DeliverCommitted(ev)
	}
	c.api = c.newAPI(cfg, suspects, changeAPI)
	c.serve()
	return c
}

func (c *town) newAPI(cfg Config, suspects *httpapi.Suspects, change func(*httpapi.Config)) *httpapi.API {
	ac := httpapi.Config{
		Trips: cfg.Trips, Store: cfg.Store, Room: cfg.Room, Receipts: cfg.Receipts, Alerts: cfg.Alerts, Drivers: cfg.Drivers,
		Booking: cfg.Booking, Tokens: cfg.Auth, Revocations: c.revoked, Suspects: suspects, Socket: c.g.ServeSocket,
		Ready: func(context.Context) error {
			if c.g.Draining() {
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

// serve starts a real server, and stops it when the test ends.
func (c *town) serve() {
	server := httptest.NewUnstartedServer(c.api.Public())
	server.Listener = tightListener{server.Listener, &c.read}
	server.Start()
	c.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/ws"
	ctx, stop := context.WithCancel(context.Background())

	var running sync.WaitGroup
	c.runs = sync.OnceFunc(func() {
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
func (c *town) readFrom(p *phone) int64 {
	n, _ := c.read.Load(p.conn.LocalAddr().String())
	return n.(*atomic.Int64).Load()
}

func (c *town) note(list *[]dispatch.Offer, o dispatch.Offer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*list = append(*list, o)
}

// lose decides from now on what becomes of notices; nil lets them arrive.
func (c *town) lose(f func(trips.OutboxMessage) []trips.OutboxMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onNotice = f
}

func nothing(trips.OutboxMessage) []trips.OutboxMessage { return nil }

func (c *town) relay(n trips.OutboxMessage) {
	c.mu.Lock()
	change := c.onNotice
	c.mu.Unlock()

	arrive := []trips.OutboxMessage{n}
	if change != nil {
		arrive = change(n)
	}

	c.deliver(arrive...)
}

func (c *town) deliver(notices ...trips.OutboxMessage) {
	c.telling.Lock()
	defer c.telling.Unlock()
	for _, n := range notices {
		deliver(c.g, n)
	}
}

// deliver hands a notice to the shared state and the gateway, as a node does.
func deliver(g *Gateway, n trips.OutboxMessage) {
	if n.Topic != trips.TopicTrip {
		g.Deliver(string(n.Topic), n.Payload)
		return
	}
	var ev trips.Event
	if err := json.Unmarshal(n.Payload, &ev); err != nil {
		panic(err) // the store in memory wrote it
	}

	g.cfg.Drivers.Follow(ev.Trip)
	g.DeliverTripEvent(ev)
}

func (c *town) publish(_ context.Context, topic string, _ location.Region, payload []byte) error {
	c.telling.Lock()
	defer c.telling.Unlock()
	c.g.Deliver(topic, payload)
	return nil
}

// until waits for something outside a phone.
func (c *town) until(what string, is func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

// fixes counts the drivers' fixes by result.
func (c *town) fixes(result string) int {
	return int(testutil.ToFloat64(c.g.m.updates.WithLabelValues(result)))
}

func (c *town) drops(reason string) int {
	return int(testutil.ToFloat64(c.g.m.drops.WithLabelValues(reason)))
}

// booked counts messages for phones by what became of them.
func (c *town) booked(of class, what outcome) int {
	return int(testutil.ToFloat64(c.g.m.delivery[of][what]))
}

// offer puts a trip into a driver's hands, as the dispatcher would.
func (c *town) offer(id string, driver trips.DriverID, trip trips.TripID) dispatch.Offer {
	c.t.Helper()
	t, err := c.store.Trip(c.t.Context(), trip)
	if err != nil {
		c.t.Fatal(err)
	}

	o := dispatch.Offer{ID: id, Trip: t, Driver: driver, Node: "node", Epoch: 1, ExpiresAt: c.now().Add(time.Hour), Metres: 120,
		Pickup: 20 * time.Second}
	if err := c.g.Offer(o); err != nil {
		c.t.Fatal(err)
	}
	return o
}

// request opens a trip behind the phones' back; step moves it on.
func (c *town) request(rider trips.RiderID) trips.TripID {
	c.t.Helper()
	c.pass(time.Second)
	key := trips.IdempotencyKey{Actor: trips.Rider(rider), ID: fmt.Sprint("request at ", c.now())}
	ev, err := c.desk.RequestTrip(c.t.Context(), key, rider, market, airport, trips.Quote{Fare: trips.Money{Minor: 100, Currency: "NGN"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return ev.Trip.ID
}

func (c *town) step(driver trips.DriverID, id trips.TripID, kinds ...trips.Kind) {
	c.t.Helper()
	c.stepOn(c.desk, driver, id, kinds...)
}

func (c *town) stepOn(desk *trips.Service, driver trips.DriverID, id trips.TripID, kinds ...trips.Kind) {
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
		move(c.t, desk, string(driver), id, verbs[kind])
	}
}

// say adds to a trip's chat behind the phones' back.
func (c *town) say(from trips.Actor, id trips.TripID, text string) {
	c.t.Helper()
	if _, err := c.g.cfg.Room.Send(c.t.Context(), from, id, text, text); err != nil {
		c.t.Fatal(err)
	}
}

// dialer opens sockets whose buffers are small, too.
func dialer(subprotocol string) *websocket.Dialer {
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

// dial opens a socket and says nothing.
func (c *town) dial(subprotocol string) *websocket.Conn {
	c.t.Helper()
	conn, resp, err := dialer(subprotocol).DialContext(c.t.Context(), c.url, nil)
	if err != nil {
		c.t.Fatalf("%v (%v)", err, resp)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// refusal dials and returns the HTTP status of the refusal.
func (c *town) refusal(header http.Header) int {
	c.t.Helper()
	conn, resp, err := dialer(wire.SubprotocolJSON).DialContext(c.t.Context(), c.url, header)
	if err == nil {
		conn.Close()
		return http.StatusSwitchingProtocols
	}
	if !errors.Is(err, websocket.ErrBadHandshake) {
		c.t.Fatal(err)
	}
	return resp.StatusCode
}
