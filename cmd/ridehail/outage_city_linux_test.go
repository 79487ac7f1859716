package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// outageCity is a node in this process, with services that a test can stop.
type outageCity struct {
	t                             *testing.T // of the whole story
	redis, postgres               *processtest.Server
	redisURL, postgresURL         string
	database                      string         // of the node
	toRedis, toPostgres           *severableLine // the node's ways there
	providerAt, ledger, routingAt string
	provider, routing             *program
	node                          *program
	url                           string
	plan                          *routing.City
	rng                           *rand.Rand
	completed                     int
}

func openOutageCity(t *testing.T) *outageCity {
	t.Helper()
	plan, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}

	c := &outageCity{t: t, plan: plan, rng: rand.New(rand.NewPCG(3, 4)), providerAt: freeAddress(t), routingAt: freeAddress(t),
		ledger: t.TempDir() + "/ledger.jsonl"}
	c.redis, c.postgres = processtest.Redis(t, "--save", ""), processtest.Postgres(t)
	c.redisURL, c.postgresURL = c.redis.URL, c.postgres.URL
	c.sql(t, "create database ridehail")
	c.database = strings.Replace(c.postgresURL, "/postgres?", "/ridehail?", 1)
	c.startProvider()
	c.startRouting()

	var redisAt, databaseAt string
	c.toRedis, redisAt = openSeverableLine(t, hostOf(t, c.redisURL))
	c.toPostgres, databaseAt = openSeverableLine(t, hostOf(t, c.database))
	address := freeAddress(t)
	c.url = "http://" + address
	c.node = start(t, "serve", "--dev-tokens", "--listen", address, "--admin", "127.0.0.1:0", "--name", "node-"+address,
		"--database", strings.Replace(c.database, hostOf(t, c.database), databaseAt, 1), "--redis", "redis://"+redisAt+"/0",
		"--provider", "http://"+c.providerAt, "--routing", "http://"+c.routingAt, "--speed", carSpeed)
	awaitReady(t, c.node, c.url)
	return c
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func (c *outageCity) startProvider() {
	c.provider = start(c.t, "payments", "--listen", c.providerAt, "--ledger", c.ledger)
	c.awaitListener(c.providerAt)
}

func (c *outageCity) startRouting() {
	c.routing = start(c.t, "routing", "--listen", c.routingAt)
	c.awaitListener(c.routingAt)
}

func (c *outageCity) awaitListener(address string) {
	c.t.Helper()
	eventually(c.t, "anybody at "+address, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (c *outageCity) sql(t *testing.T, statement string) { sqlAt(t, c.postgresURL, statement) }

func sqlAt(t *testing.T, url, statement string) {
	t.Helper()
	ctx := context.Background()

	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}

// ride is a driver and a rider on one trip.
type ride struct {
	driver, rider *phone
	riderID, trip string
	dropoff       *wire.Point
}

// ride returns a trip that was accepted, whose rider knows it and sees the car
// move.
func (c *outageCity) ride(t *testing.T) *ride {
	t.Helper()
	r := c.accepted(t)
	r.rider.awaitState("reserved")
	r.rider.seeTheCarMove(time.Now())
	return r
}

// accepted returns a trip that the driver has accepted.
func (c *outageCity) accepted(t *testing.T) *ride {
	t.Helper()
	from, to := c.somewhere(), c.somewhere()

	run := uuid.NewString()[:8]
	r := &ride{driver: c.dial(t, "driver", "d-"+run), rider: c.dial(t, "rider", "r-"+run), riderID: "r-" + run}
	r.driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: true}}})
	keepDriving(t, r.driver, from)
	r.rider.command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{Pickup: from, Dropoff: to}}})
	offer := r.driver.await("offer", func(f *wire.ServerFrame) bool { return f.GetOffer() != nil }).GetOffer()
	r.driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: offer.Id, Accept: true}}})
	r.trip, r.dropoff = offer.Trip.Id, to
	return r
}

func (c *outageCity) somewhere() *wire.Point {
	p := c.plan.RandomPoint(c.rng)
	return &wire.Point{Lng: p.Lng, Lat: p.Lat}
}

func (r *ride) step(s wire.Step) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: r.trip, Step: s}}}
}

func (r *ride) say(text string) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: r.trip, Text: text}}}
}

func (r *ride) paid() {
	r.rider.t.Helper()
	r.rider.await("receipt", func(f *wire.ServerFrame) bool { return f.GetReceipt().GetTripId() == r.trip })
}

// complete finishes the ride of a car that has arrived.
func (c *outageCity) complete(r *ride) {
	r.driver.t.Helper()
	r.driver.command(r.step(wire.Step_START))
	r.driver.driveTo(r.dropoff)
	r.driver.command(r.step(wire.Step_COMPLETE))
	r.rider.awaitState("completed")
	c.completed++
}

func (c *outageCity) finish(r *ride) {
	r.driver.t.Helper()
	c.complete(r)
	r.paid()
}

func isWelcome(f *wire.ServerFrame) bool { return f.GetWelcome() != nil }

// prompt is much longer than a command takes that needs no lost part, and
// shorter than one waits for a lost part that it needs.
const prompt = 3 * time.Second

func (c *outageCity) dial(t *testing.T, role, id string) *phone {
	t.Helper()
	began := time.Now()
	p := dial(t, c.url, role, id)
	if took := time.Since(began); took > prompt {
		t.Errorf("the welcome took %v", took)
	}
	return p
}

// checkTurnedAway connects a phone that the node cannot give its state to, and
// checks that it is told to come back.
func (c *outageCity) checkTurnedAway(t *testing.T) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{wire.SubprotocolJSON}}

	conn, _, err := d.Dial("ws"+strings.TrimPrefix(c.url, "http")+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	hello, err := wire.JSON.Append(nil, &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{
		Token: token(t, c.url, "rider", "r-"+uuid.NewString()[:8])}}})
	if err == nil {
		err = conn.WriteMessage(websocket.TextMessage, hello)
	}
	if err != nil {
		t.Fatal(err)
	}

	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, _, err = conn.ReadMessage(); !websocket.IsCloseError(err, wire.CloseOverload) {
		t.Errorf("a phone that connects hears %v", err)
	}
}

// seeTheCarMove receives and acks positions until three came that the driver
// sent after a time.
func (p *phone) seeTheCarMove(after time.Time) {
	p.t.Helper()
	var shown uint32
	for fresh := 0; fresh < 3; {
		pos := p.await("a newer position", func(f *wire.ServerFrame) bool { return f.GetPosition().GetN() > shown }).GetPosition()
		shown = pos.N
		p.send(&wire.ClientFrame{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{N: shown}}})
		if pos.AtMs > wire.ToMillis(after) {
			fresh++
		}
	}
}

// expectAnswer waits for the n-th answer to a command.
func (p *phone) expectAnswer(code wire.Code, f *wire.ClientFrame, n int) {
	p.t.Helper()
	var last *wire.Ack
	eventually(p.t, "an answer", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()

		answers := 0
		for _, h := range p.heard {
			if h.GetAck().GetId() == f.Id {
				answers++
				last = h.GetAck()
			}
		}

		return answers == n
	})

	if last.Code != string(code) {
		p.t.Fatalf("answer %d to %v is %q (%s), want %q", n, f, last.Code, last.Message, code)
	}
}

// checkUnaffectedParts tries what needs neither Redis nor Postgres nor another
// service.
func (c *outageCity) checkUnaffectedParts(t *testing.T) {
	t.Helper()
	from, to := c.somewhere(), c.somewhere()
	bearer := token(t, c.url, "rider", "r-"+uuid.NewString()[:8])
	journey := fmt.Sprintf(`{"pickup":{"lng":%v,"lat":%v},"dropoff":{"lng":%v,"lat":%v}}`, from.Lng, from.Lat, to.Lng, to.Lat)
	began := time.Now()
	defer func() { t.Logf("five answers that need nothing lost took %v", time.Since(began)) }()

	c.mustAnswer(t, http.StatusOK, "GET", "/healthz", "", "")
	c.mustAnswer(t, http.StatusOK, "GET", "/", "", "")
	c.mustAnswer(t, http.StatusOK, "GET", "/v1/city", "", "")
	c.mustAnswer(t, http.StatusOK, "GET", fmt.Sprintf("/v1/nearby?lng=%v&lat=%v", from.Lng, from.Lat), bearer, "")
	c.mustAnswer(t, http.StatusOK, "POST", "/v1/quotes", bearer, journey)
}

func (c *outageCity) routeSource(t *testing.T) string {
	t.Helper()
	from, to := c.somewhere(), c.somewhere()

	answer := c.mustAnswer(t, http.StatusOK, "POST", "/v1/quotes", token(t, c.url, "rider", "r-"+uuid.NewString()[:8]),
		fmt.Sprintf(`{"pickup":{"lng":%v,"lat":%v},"dropoff":{"lng":%v,"lat":%v}}`, from.Lng, from.Lat, to.Lng, to.Lat))
	var quote struct {
		RouteSource string `json:"route_source"`
	}
	if err := json.Unmarshal(answer, &quote); err != nil {
		t.Fatal(err)
	}
	return quote.RouteSource
}

func (c *outageCity) mustAnswer(t *testing.T, status int, method, path, bearer, body string) []byte {
	t.Helper()
	got, answer, err := c.call(method, path, bearer, body)
	if err != nil || got != status {
		t.Errorf("%s %s: %d, %v: %.200s", method, path, got, err, answer)
	}
	return answer
}

func (c *outageCity) call(method, path, bearer, body string) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), prompt)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}

	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// awaitReadiness waits until the node reports that it is ready, or that it is
// not.
func (c *outageCity) awaitReadiness(t *testing.T, ready bool) {
	t.Helper()
	want := map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[ready]
	eventually(t, fmt.Sprintf("readyz %d", want), func() bool {
		got, _, err := c.call("GET", "/readyz", "", "")
		return err == nil && got == want
	})
}

func flush(t *testing.T, redis string) {
	t.Helper()
	conn, err := net.Dial("tcp", hostOf(t, redis))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	if _, err := io.WriteString(conn, "FLUSHALL\r\n"); err != nil {
		t.Fatal(err)
	}

	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "+OK\r\n" {
		t.Fatalf("FLUSHALL: %q, %v", answer, err)
	}
}
