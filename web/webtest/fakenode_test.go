package webtest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/web"
	"github.com/ridehail/ridehail/wire"
)

// fakeNode speaks the protocol's JSON frames to one page and plays one scripted
// trip, so that the page is tested without a city behind it.
type fakeNode struct {
	// Fixed when the server starts.
	*httptest.Server
	city       []byte
	road       bool // quotes follow roads
	holdDriver bool // the driver never reaches the pickup
	plan       string
	// tile returns a tile of a city in tiles.
	tile       func(z, x, y string) []byte
	surge      string        // hexagons; "" when the node has none
	priceHolds time.Duration // 0: no price expires

	mu     sync.Mutex // guards the fields below
	conn   *websocket.Conn
	isAway bool // accepts no connections
	trip   *wire.Trip
	seq    uint32 // events of the trip
	chat   []*wire.ChatMessage
	// done holds the acks of answered commands.
	done       map[string]*wire.Ack
	requests   int          // trips opened
	quotes     int          // given
	sentQuotes []string     // tokens that came with requests
	expired    int          // requests still to refuse with quote_expired
	sosCalls   []string     // command ids
	resumed    *wire.Resume // of the last hello
	ticks      uint32       // since the trip's last step

	running sync.WaitGroup
	stop    chan struct{}
}

func newFakeNode(t *testing.T, change ...func(*fakeNode)) *fakeNode {
	f := &fakeNode{city: fakeCity(), plan: fakePlan, road: true, done: map[string]*wire.Ack{}, stop: make(chan struct{})}
	for _, c := range change {
		c(f)
	}
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler())
	mux.HandleFunc("POST /v1/dev/tokens", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"token":"t"}`) })
	mux.HandleFunc("GET /v1/map", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, f.plan) })

	mux.HandleFunc("GET /v1/tiles/{z}/{x}/{y}", func(w http.ResponseWriter, r *http.Request) {
		tile := f.tile(r.PathValue("z"), r.PathValue("x"), r.PathValue("y"))
		if len(tile) == 0 {
			w.WriteHeader(http.StatusNoContent)
		}
		_, _ = w.Write(tile)
	})

	mux.HandleFunc("GET /v1/surge", func(w http.ResponseWriter, r *http.Request) {
		if f.surge == "" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, f.surge)
	})

	mux.HandleFunc("GET /v1/city", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(f.city) })
	mux.HandleFunc("POST /v1/quotes", f.serveQuote)
	mux.HandleFunc("GET /v1/receipts", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"receipts":[]}`) })
	mux.HandleFunc("GET /v1/ws", f.serveSocket)
	f.Server = httptest.NewServer(mux)

	t.Cleanup(func() {
		close(f.stop)
		f.goAway()
		f.running.Wait()
		f.Close()
	})
	return f
}

func (f *fakeNode) serveQuote(w http.ResponseWriter, r *http.Request) {
	var q struct{ Pickup, Dropoff struct{ Lng, Lat float64 } }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Dropoff.Lat < fakeLat-5/110.6 {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"title":"Outside the city","detail":"We do not serve this place yet.","code":"outside_city"}`)
		return
	}

	source := "straight_line"
	if f.road {
		source = "road"
	}

	metres := math.Hypot(q.Pickup.Lng-q.Dropoff.Lng, q.Pickup.Lat-q.Dropoff.Lat) * 110_600 * 1.3
	f.mu.Lock()
	f.quotes++
	n, terms := f.quotes, ""
	f.mu.Unlock()

	if f.priceHolds > 0 {
		terms = fmt.Sprintf(`,"surge":1.4,"quote":"quote-%d","expires_at":%q`, n, time.Now().Add(f.priceHolds).Format(time.RFC3339Nano))
	}
	fmt.Fprintf(w, `{"distance_m":%g,"duration_s":%g,"fare":{"minor":%d,"currency":"NGN"},"route_source":%q,"pickup_s":190%s}`,
		metres, metres/9, 50000*n+int(metres/1000*18000)/100*100, source, terms)
}

// takeQuote removes the quote's token from a trip request and keeps it.
func (f *fakeNode) takeQuote(data []byte) []byte {
	var frame map[string]any
	if json.Unmarshal(data, &frame) != nil {
		return data
	}

	request, ok := frame["request_trip"].(map[string]any)
	if !ok {
		return data
	}

	f.mu.Lock()
	token, _ := request["quote"].(string)
	f.sentQuotes = append(f.sentQuotes, token)
	f.mu.Unlock()

	delete(request, "quote")
	data, err := json.Marshal(frame)
	if err != nil {
		panic(err)
	}

	return data
}

func (f *fakeNode) serveSocket(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{Subprotocols: []string{wire.SubprotocolJSON}}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}

	f.mu.Lock()
	if f.isAway {
		f.mu.Unlock()
		conn.Close()
		return
	}

	f.conn, f.ticks = conn, 0
	f.mu.Unlock()

	f.running.Add(1)
	go func() { defer f.running.Done(); f.playTicks(conn) }()

	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}

		data = f.takeQuote(data)
		var frame wire.ClientFrame
		if err := wire.JSON.Decode(data, &frame); err != nil {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(wire.CloseBadData, err.Error()), time.Now().Add(time.Second))
			return
		}

		f.handleFrame(&frame)
	}
}

// goAway drops the connection without a close frame. It accepts no other one
// until back is called.
func (f *fakeNode) goAway() (back func()) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.isAway = true
	if f.conn != nil {
		_ = f.conn.Close()
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.isAway = false
	}
}

func (f *fakeNode) handleFrame(frame *wire.ClientFrame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ack := f.done[frame.GetId()]; ack != nil {
		f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: ack}})
		return
	}

	switch b := frame.Body.(type) {
	case *wire.ClientFrame_Hello:
		f.welcomeLocked(b.Hello.GetResume())
	case *wire.ClientFrame_Ping:
		now := wire.ToMillis(time.Now())
		f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{T1Ms: b.Ping.GetT1Ms(), T2Ms: now, T3Ms: now}}})
	case *wire.ClientFrame_RequestTrip:
		if f.expired > 0 {
			f.expired--
			f.ackLocked(&wire.Ack{Id: frame.GetId(), Code: "quote_expired", Message: "This price no longer holds; ask for a new one."})
			return
		}
		f.requests++
		f.trip = &wire.Trip{Id: "trip-1", State: "requested", Pickup: b.RequestTrip.Pickup, Dropoff: b.RequestTrip.Dropoff,
			DistanceM: 3400, DurationS: 410, Fare: &wire.Money{Minor: 185000, Currency: "NGN"}, RouteSource: "road"}
		f.moveLocked("requested")
		f.ackLocked(&wire.Ack{Id: frame.GetId(), Trip: f.trip})
	case *wire.ClientFrame_CancelTrip:
		f.trip.State = "cancelled"
		f.moveLocked("rider_cancellation")
		f.ackLocked(&wire.Ack{Id: frame.GetId(), Trip: f.trip})
	case *wire.ClientFrame_Sos:
		f.sosCalls = append(f.sosCalls, frame.GetId())
		f.ackLocked(&wire.Ack{Id: frame.GetId()})
	case *wire.ClientFrame_SendChat:
		m := f.sayLocked("rider", b.SendChat.GetText(), frame.GetId())
		f.ackLocked(&wire.Ack{Id: frame.GetId(), ChatSeq: m.Seq})
		f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Typing{Typing: &wire.Typing{TripId: "trip-1"}}})
	}
}

func (f *fakeNode) welcomeLocked(resume *wire.Resume) {
	w := &wire.Welcome{Role: "rider", Epoch: "e1", Recovered: resume != nil, ChatSeq: uint32(len(f.chat))}
	if f.trip != nil && f.trip.State != "completed" {
		w.Trip = f.trip
	}

	f.resumed = resume
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: w}})
	if resume == nil {
		return
	}
	for _, m := range f.chat[min(int(resume.ChatSeq), len(f.chat)):] {
		f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: m}})
	}
}

func (f *fakeNode) ackLocked(ack *wire.Ack) {
	f.done[ack.Id] = ack
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: ack}})
}

func (f *fakeNode) moveLocked(kind string) {
	f.seq++
	f.trip.Version = f.seq
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_TripEvent{TripEvent: &wire.TripEvent{
		TripId: "trip-1", Seq: f.seq, Kind: kind, AtMs: wire.ToMillis(time.Now()), Trip: f.trip}}})
}

func (f *fakeNode) sayLocked(from, text, id string) *wire.ChatMessage {
	m := &wire.ChatMessage{TripId: "trip-1", Seq: uint32(len(f.chat) + 1), From: from, Text: text,
		AtMs: wire.ToMillis(time.Now()), ClientId: id}
	f.chat = append(f.chat, m)
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: m}})
	return m
}

func (f *fakeNode) sendLocked(frame *wire.ServerFrame) {
	data, err := wire.JSON.Append(nil, frame)
	if err != nil {
		panic(err)
	}
	_ = f.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = f.conn.WriteMessage(websocket.TextMessage, data)
}

// playTicks moves the cars and the trip five times a second, until the
// connection ends.
func (f *fakeNode) playTicks(conn *websocket.Conn) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()

	began := time.Now()
	for i := 0; ; i++ {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}

		f.mu.Lock()
		if f.conn != conn {
			f.mu.Unlock()
			return
		}
		if i%5 == 0 {
			f.carsLocked(time.Since(began).Seconds())
		}

		f.scriptLocked()
		f.mu.Unlock()
	}
}

func (f *fakeNode) carsLocked(s float64) {
	cars := &wire.Cars{}
	for i := range 60 {
		row, way := float64(i%8), float64(1-2*(i%2))
		x := math.Mod(float64(i)*0.77+s*0.011*way+90, 8.8) - 5
		p := pointAt(x, 2.3+row*0.5)
		if i%3 == 0 {
			p = pointAt(math.Mod(float64(i)*0.53+s*0.009*way+60, 6)-2.5, -2)
		}
		cars.Cars = append(cars.Cars, &wire.Car{Id: fmt.Sprintf("driver-%03d", i), Point: &wire.Point{Lng: p[0], Lat: p[1]},
			Heading: float32(180 - 90*way), Speed: 10, Status: "available", AgeS: float32(i%9) * 0.2})
	}

	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Cars{Cars: cars}})
}
