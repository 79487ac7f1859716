package simulators

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

var testCity = sync.OnceValue(func() *routing.City {
	c, err := routing.Open("7")
	if err != nil {
		panic(err)
	}
	return c
})

// fakeNode speaks the protocol's frames. What it does on a frame is the test's
// script.
type fakeNode struct {
	*httptest.Server
	t      *testing.T
	script func(c *fakeConn, f *wire.ClientFrame) // called under mu

	mu    sync.Mutex // guards the fields below
	conns []*fakeConn
	// All but fixes and pings, over all connections.
	received []*wire.ClientFrame
	trip     *wire.Trip           // for tests about one trip
	done     map[string]*wire.Ack // commands carried out
	quotes   int                  // given
	silent   bool                 // commands get no ack
	cityMap  string               // the answer of /v1/map; "": there is none

	receivedSignal chan struct{} // holds one after a frame
}

// fakeConn is one connection to the fake node.
type fakeConn struct {
	node  *fakeNode
	ws    *websocket.Conn
	codec wire.Codec
	user  string
	hello *wire.Hello
	fixes []*wire.Fix
	pos   uint32
}

func newFakeNode(t *testing.T, on func(c *fakeConn, f *wire.ClientFrame)) *fakeNode {
	n := &fakeNode{t: t, script: on, receivedSignal: make(chan struct{}, 1), done: map[string]*wire.Ack{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/dev/tokens", func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ Role, ID string }
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"token":%q}`, ask.Role+"/"+ask.ID)
	})

	mux.HandleFunc("POST /v1/quotes", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.quotes++
		number := n.quotes
		n.mu.Unlock()
		fmt.Fprintf(w, `{"quote":"%s quote %d"}`, r.Header.Get("Authorization"), number)
	})

	mux.HandleFunc("GET /v1/map", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.cityMap == "" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, n.cityMap)
	})

	var sockets sync.WaitGroup
	mux.HandleFunc("GET /v1/ws", func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{Subprotocols: []string{wire.SubprotocolProto, wire.SubprotocolJSON}}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		sockets.Add(1)
		defer sockets.Done()
		defer ws.Close()
		n.serveSocket(ws)
	})
	n.Server = httptest.NewServer(mux)

	t.Cleanup(func() {
		n.mu.Lock()
		for _, c := range n.conns {
			c.ws.Close()
		}
		n.mu.Unlock()
		sockets.Wait()
		n.Close()
	})
	return n
}

func (n *fakeNode) serveSocket(ws *websocket.Conn) {
	c := &fakeConn{node: n, ws: ws}
	c.codec, _ = wire.CodecFor(ws.Subprotocol())
	n.mu.Lock()
	n.conns = append(n.conns, c)
	n.mu.Unlock()

	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			return
		}

		f := new(wire.ClientFrame)
		if err := c.codec.Decode(data, f); err != nil {
			n.t.Errorf("the phone sent a frame that cannot be decoded: %v", err)
			return
		}

		n.handleFrame(c, f)
	}
}

func (n *fakeNode) handleFrame(c *fakeConn, f *wire.ClientFrame) {
	n.mu.Lock()
	defer n.mu.Unlock()

	switch b := f.Body.(type) {
	case *wire.ClientFrame_Hello:
		c.hello, c.user = b.Hello, b.Hello.Token
	case *wire.ClientFrame_Fix:
		c.fixes = append(c.fixes, b.Fix)
	case *wire.ClientFrame_Ping:
		now := wire.ToMillis(time.Now())
		c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{T1Ms: b.Ping.T1Ms, T2Ms: now, T3Ms: now}}})
		return
	}

	if f.GetFix() == nil {
		n.received = append(n.received, f)
	}

	if ack := n.done[f.Id]; ack != nil {
		c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: ack}})
	} else {
		n.script(c, f)
	}

	select {
	case n.receivedSignal <- struct{}{}:
	default:
	}
}

// waitUntil waits for a condition. It checks it under mu after each frame, and
// fails the test after 20 s.
func (n *fakeNode) waitUntil(what string, ok func() bool) {
	n.t.Helper()
	late := time.After(20 * time.Second)
	for {
		if n.holdsLocked(ok) {
			return
		}
		select {
		case <-n.receivedSignal:
		case <-time.After(20 * time.Millisecond):
		case <-late:
			n.t.Fatalf("never happened: %s", what)
		}
	}
}

func (n *fakeNode) holdsLocked(ok func() bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return ok()
}

func (n *fakeNode) fixCount() (total int) {
	for _, c := range n.conns {
		total += len(c.fixes)
	}
	return total
}

// commandIDs lists the command ids of the received frames that match.
func (n *fakeNode) commandIDs(match func(*wire.ClientFrame) bool) (ids []string) {
	for _, f := range n.received {
		if match(f) {
			ids = append(ids, f.Id)
		}
	}
	return ids
}

func (c *fakeConn) sendFrame(f *wire.ServerFrame) {
	data, err := c.codec.Append(nil, f)
	if err != nil {
		panic(err)
	}

	kind := websocket.BinaryMessage
	if c.codec.Text() {
		kind = websocket.TextMessage
	}

	_ = c.ws.SetWriteDeadline(time.Now().Add(time.Second))
	_ = c.ws.WriteMessage(kind, data)
}

func (c *fakeConn) sendWelcome(w *wire.Welcome) {
	w.Epoch = "e"
	c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: w}})
}

func (c *fakeConn) sendTripAck(f *wire.ClientFrame, code wire.Code) {
	if !c.node.silent {
		c.sendAck(f, &wire.Ack{Code: string(code), Trip: cloneTrip(c.node.trip)})
	}
}

func (c *fakeConn) sendAck(f *wire.ClientFrame, a *wire.Ack) {
	a.Id = f.Id
	if a.Code == "" {
		c.node.done[f.Id] = a
	}
	c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: a}})
}

func (c *fakeConn) sendOffer(id string) {
	c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Offer{Offer: &wire.Offer{Id: id, Trip: cloneTrip(c.node.trip)}}})
}

func (c *fakeConn) closeWith(code int) {
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "bye"), time.Now().Add(time.Second))
}

// moveTrip moves the node's trip to a state and sends the event.
func (c *fakeConn) moveTrip(state, kind string) {
	t := c.node.trip
	t.State = state
	t.Version++

	now := wire.ToMillis(time.Now())
	switch state {
	case client.StateRequested:
		t.RequestedMs = now
	case client.StateReserved:
		t.ReservedMs = now
	case client.StateArrived:
		t.ArrivedMs = now
	}

	c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_TripEvent{TripEvent: &wire.TripEvent{
		TripId: t.Id, Seq: t.Version, Kind: kind, AtMs: now, Trip: cloneTrip(t)}}})
}

func (c *fakeConn) sendChat(seq uint32, from, text string) {
	c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: &wire.ChatMessage{TripId: c.node.trip.Id, Seq: seq,
		From: from, Text: text, AtMs: wire.ToMillis(time.Now())}}})
}

// sendPosition sends a car position with the next number.
func (c *fakeConn) sendPosition(driver string, at time.Time) {
	c.pos++
	c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Position{Position: &wire.Position{N: c.pos, DriverId: driver,
		Seq: c.pos, AtMs: wire.ToMillis(at), Point: &wire.Point{Lng: 3.4, Lat: 6.45}}}})
}

func cloneTrip(t *wire.Trip) *wire.Trip {
	if t == nil {
		return nil
	}
	return proto.Clone(t).(*wire.Trip)
}

// driverScript plays a node towards drivers: it offers one trip to the first
// available driver and moves it as the driver asks.
func driverScript(rideMetres float64) func(c *fakeConn, f *wire.ClientFrame) {
	return func(c *fakeConn, f *wire.ClientFrame) {
		n := c.node
		switch b := f.Body.(type) {
		case *wire.ClientFrame_Hello:
			w := &wire.Welcome{Role: client.RoleDriver}
			if n.trip != nil && n.trip.DriverId != "" && client.IsActive(n.trip.State) {
				w.Trip = cloneTrip(n.trip)
			}
			c.sendWelcome(w)
			if n.trip != nil && n.trip.State == client.StateRequested {
				c.sendOffer("offer")
			}
		case *wire.ClientFrame_Fix:
			if n.trip == nil {
				n.trip = tripFrom(pointOf(b.Fix.Point), rideMetres)
				c.sendOffer("offer")
			}
		case *wire.ClientFrame_AnswerOffer:
			if !b.AnswerOffer.Accept {
				c.sendAck(f, new(wire.Ack))
				return
			}
			n.trip.DriverId = c.user[len("driver/"):]
			c.moveTrip(client.StateReserved, "reserved")
			c.sendTripAck(f, "")
		case *wire.ClientFrame_MoveTrip:
			to := map[wire.Step]string{wire.Step_ARRIVE: client.StateArrived, wire.Step_START: client.StateOnTrip,
				wire.Step_COMPLETE: client.StateCompleted}[b.MoveTrip.Step]
			c.moveTrip(to, to)
			c.sendTripAck(f, "")
		default:
			if f.Id != "" {
				c.sendAck(f, new(wire.Ack))
			}
		}
	}
}

// tripFrom returns a trip that begins about 300 m from a place and is about as
// long as asked for.
func tripFrom(at location.Point, metres float64) *wire.Trip {
	near := func(p location.Point, m float64) location.Point {
		rng := newRandomStream(1, "trip", "places")
		best := testCity().RandomPoint(rng)
		off := func(q location.Point) float64 {
			return max(location.MetresBetween(p, q)-m, m-location.MetresBetween(p, q))
		}
		for range 2000 {
			if q := testCity().RandomPoint(rng); off(q) < off(best) {
				best = q
			}
		}

		return best
	}

	from := near(at, 300)
	return &wire.Trip{Id: "trip", State: client.StateRequested, Version: 1, Pickup: wirePoint(from),
		Dropoff: wirePoint(near(from, metres)), RequestedMs: wire.ToMillis(time.Now())}
}

// requestedSteps lists the steps that drivers asked for.
func (n *fakeNode) requestedSteps() []wire.Step {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stepsLocked()
}

func (n *fakeNode) stepsLocked() (s []wire.Step) {
	for _, f := range n.received {
		if m := f.GetMoveTrip(); m != nil {
			s = append(s, m.Step)
		}
	}
	return s
}

func wantSteps(n *fakeNode, want ...wire.Step) func() bool {
	return func() bool { return slices.Equal(n.stepsLocked(), want) }
}
