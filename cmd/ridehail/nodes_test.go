package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// phone is a client driven by the test: it sends frames and waits for others.
type phone struct {
	t    *testing.T
	conn *websocket.Conn

	writing sync.Mutex

	// The car of a driver whom keepDriving moves.
	place     atomic.Pointer[wire.Point]
	fixesSent atomic.Int64

	mu    sync.Mutex // guards heard
	heard []*wire.ServerFrame
	news  chan struct{}
}

func token(t *testing.T, server, role, id string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"role": role, "id": id})
	if err != nil {
		t.Fatal(err)
	}

	res, err := http.Post(server+"/v1/dev/tokens", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	var out struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || out.Token == "" {
		t.Fatalf("no token: %s, %v", res.Status, err)
	}

	return out.Token
}

func dial(t *testing.T, server, role, id string) *phone {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{wire.SubprotocolJSON}}

	conn, _, err := d.Dial("ws"+strings.TrimPrefix(server, "http")+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}

	p := &phone{t: t, conn: conn, news: make(chan struct{}, 1)}
	var reader sync.WaitGroup
	reader.Go(p.read)
	t.Cleanup(func() { conn.Close(); reader.Wait() })
	p.send(&wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token(t, server, role, id)}}})
	p.await("welcome", func(f *wire.ServerFrame) bool { return f.GetWelcome() != nil })
	return p
}

func (p *phone) read() {
	for {
		_, data, err := p.conn.ReadMessage()
		if err != nil {
			return
		}

		f := new(wire.ServerFrame)
		if err := wire.JSON.Decode(data, f); err != nil {
			p.t.Errorf("%s: %v", data, err)
			return
		}

		p.mu.Lock()
		p.heard = append(p.heard, f)
		p.mu.Unlock()

		select {
		case p.news <- struct{}{}:
		default:
		}
	}
}

func (p *phone) send(f *wire.ClientFrame) {
	p.t.Helper()
	p.writing.Lock()
	defer p.writing.Unlock()

	data, err := wire.JSON.Append(nil, f)
	if err == nil {
		err = p.conn.WriteMessage(websocket.TextMessage, data)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// await returns the first frame, received before or later, that is wanted.
func (p *phone) await(what string, wanted func(*wire.ServerFrame) bool) *wire.ServerFrame {
	p.t.Helper()
	late := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		heard := p.heard
		p.mu.Unlock()

		for _, f := range heard {
			if wanted(f) {
				return f
			}
		}

		select {
		case <-p.news:
		case <-late:
			p.t.Fatalf("no %s came; %d other frames did: %v", what, len(heard), heard)
		}
	}
}

// command sends a command and waits for its ack, which must not be an error.
func (p *phone) command(f *wire.ClientFrame) *wire.Ack {
	p.t.Helper()
	f.Id = uuid.NewString()
	p.send(f)
	a := p.await("ack", func(s *wire.ServerFrame) bool { return s.GetAck().GetId() == f.Id }).GetAck()
	if a.Code != "" {
		p.t.Fatalf("%v: %s %s", f, a.Code, a.Message)
	}
	return a
}

func (p *phone) awaitState(state string) {
	p.t.Helper()
	p.await("trip "+state, func(f *wire.ServerFrame) bool { return f.GetTripEvent().GetTrip().GetState() == state })
}

func (p *phone) fix(seq uint32, at *wire.Point) {
	p.t.Helper()
	p.send(&wire.ClientFrame{Body: &wire.ClientFrame_Fix{Fix: &wire.Fix{Seq: seq, AtMs: wire.ToMillis(time.Now()), Point: at, Accuracy: 5}}})
}

// realServices returns a new Postgres database and a Redis, or skips the test.
func realServices(t *testing.T) (database, redis string) {
	t.Helper()
	postgres, redis := os.Getenv("RIDEHAIL_TEST_POSTGRES"), os.Getenv("RIDEHAIL_TEST_REDIS")
	if postgres == "" || redis == "" {
		if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
			t.Fatal("RIDEHAIL_TEST_POSTGRES and RIDEHAIL_TEST_REDIS must name real services")
		}
		t.Skip("set RIDEHAIL_TEST_POSTGRES and RIDEHAIL_TEST_REDIS (or use ci/with-services) to try two nodes")
	}

	cfg, err := pgx.ParseConfig(postgres)
	if err != nil {
		t.Fatal(err)
	}

	ctx := t.Context()
	admin, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}

	name := "nodes_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		if _, err := admin.Exec(ctx, "drop database "+name+" with (force)"); err != nil {
			t.Error(err)
		}
		admin.Close(ctx)
	})

	at, err := url.Parse(postgres)
	if err != nil {
		t.Fatal(err)
	}

	at.Path = "/" + name
	return at.String(), redis
}

func startNode(t *testing.T, database, redis, provider string) (*program, string) {
	t.Helper()
	address := freeAddress(t)
	p := start(t, "serve", "--dev-tokens", "--listen", address, "--admin", "127.0.0.1:0", "--name", "node-"+address,
		"--database", database, "--redis", redis, "--provider", provider, "--speed", carSpeed)
	return p, "http://" + address
}

// carSpeed lets a car cross the city from one fix to the next.
const carSpeed = "1000"

// TestARideAcrossTwoNodes has the driver's socket on one node and the rider's
// on the other; they share nothing but Redis and Postgres.
func TestARideAcrossTwoNodes(t *testing.T) {
	database, redis := realServices(t)
	providerAt := freeAddress(t)
	start(t, "payments", "--listen", providerAt, "--ledger", t.TempDir()+"/ledger.jsonl")
	a, atA := startNode(t, database, redis, "http://"+providerAt)
	b, atB := startNode(t, database, redis, "http://"+providerAt)
	awaitReady(t, a, atA)
	awaitReady(t, b, atB)

	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}

	rng := rand.New(rand.NewPCG(1, 2))
	from, to := city.RandomPoint(rng), city.RandomPoint(rng)
	here, there := &wire.Point{Lng: from.Lng, Lat: from.Lat}, &wire.Point{Lng: to.Lng, Lat: to.Lat}

	run := uuid.NewString()[:8]
	driver, rider := dial(t, atA, "driver", "d-"+run), dial(t, atB, "rider", "r-"+run)
	driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: true}}})
	driving := keepDriving(t, driver, here)

	rider.command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{Pickup: here, Dropoff: there}}})
	offer := driver.await("offer", func(f *wire.ServerFrame) bool { return f.GetOffer() != nil }).GetOffer()
	driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: offer.Id, Accept: true}}})
	rider.awaitState("reserved")
	rider.await("live positions", func(f *wire.ServerFrame) bool { return f.GetPosition().GetN() >= 2 })

	trip := offer.Trip.Id
	say := func(p *phone, text string) {
		p.command(&wire.ClientFrame{Body: &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: trip, Text: text}}})
	}
	hears := func(p *phone, seq uint32, text string) {
		p.await(text, func(f *wire.ServerFrame) bool { return f.GetChat().GetSeq() == seq && f.GetChat().GetText() == text })
	}
	say(rider, "Which car?")
	hears(driver, 1, "Which car?")
	say(driver, "The yellow one")
	hears(rider, 2, "The yellow one")

	for _, step := range []struct {
		do    wire.Step
		state string
		place *wire.Point
	}{{wire.Step_ARRIVE, "arrived", here}, {wire.Step_START, "on_trip", here}, {wire.Step_COMPLETE, "completed", there}} {
		driver.driveTo(step.place)
		driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: trip, Step: step.do}}})
		rider.awaitState(step.state)
	}

	rider.await("receipt", func(f *wire.ServerFrame) bool { return f.GetReceipt().GetTripId() == trip })
	driving()

	for _, p := range []*program{a, b} {
		p.stop()
		if code := p.wait(t); code != exitDone {
			t.Errorf("a node that is stopped exits with %d", code)
		}
	}

	audit := start(t, "audit", "--database", database)
	if code := audit.wait(t); code != exitDone {
		t.Errorf("the audit found: %s", audit.out.String())
	}
}

// keepDriving sends a fix every 100 ms and acks nothing, until the returned
// function is called.
func keepDriving(t *testing.T, p *phone, around *wire.Point) (stop func()) {
	t.Helper()
	p.place.Store(around)
	done := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for seq := uint32(1); ; seq++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}

			around := p.place.Load()
			p.fix(seq, &wire.Point{Lng: around.Lng + float64(seq%10)*1e-5, Lat: around.Lat})
			p.fixesSent.Add(1)
		}
	})

	stop = sync.OnceFunc(func() { close(done); sender.Wait() })
	t.Cleanup(stop)
	return stop
}

// driveTo moves the car that keepDriving drives, and returns when a fix from
// there was sent.
func (p *phone) driveTo(to *wire.Point) {
	p.t.Helper()
	p.place.Store(to)
	before := p.fixesSent.Load()
	// The first one may have been on its way from the last place.
	eventually(p.t, "a fix from the place", func() bool { return p.fixesSent.Load() >= before+2 })
}

func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	late := time.Now().Add(30 * time.Second)
	for !true() {
		if time.Now().After(late) {
			t.Fatalf("there never was %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
