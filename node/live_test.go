package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/xray"
)

// account returns the account of one class of a mechanism, and fails the test if
// an account does not add up.
func account(t *testing.T, ledger []xray.Account, mechanism, class string) (found xray.Account) {
	t.Helper()
	for _, a := range ledger {
		if a.Sent != a.Delivered+a.Recovered+a.Repeated+a.Overwritten+a.Lost+a.Waiting ||
			min(a.Delivered, a.Recovered, a.Repeated, a.Overwritten, a.Lost, a.Waiting) < 0 {
			t.Errorf("it does not add up: %+v", a)
		}
		if a.Mechanism == mechanism && a.Class == class {
			found = a
		}
	}
	if found.Class == "" {
		t.Fatalf("the ledger has no account of %s, %s", mechanism, class)
	}
	return found
}

func line(t *testing.T, live xray.Live, id string) xray.Line {
	t.Helper()
	for _, l := range live.Lines {
		if l.ID == id {
			return l
		}
	}
	t.Fatalf("there is no line %s", id)
	return xray.Line{}
}

// TestTheLedgerAddsUpWhilePhonesDropAndOneIsSlow compares the ledger of a ride
// with what the phones and the database know: the rider's phone drops its
// connection again and again, and a second phone of the rider acks nothing.
func TestTheLedgerAddsUpWhilePhonesDropAndOneIsSlow(t *testing.T) {
	n := startNode(t, node.Config{Name: "one", Database: filepath.Join(t.TempDir(), "ridehail.db")})
	driver, rider := startPhone(t, n, client.RoleDriver, "dayo"), startPhone(t, n, client.RoleRider, "ada")
	dialNode(t, n, wire.SubprotocolJSON, &wire.Hello{Token: devToken(t, n, client.RoleRider, "ada")})
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)

	trip := orderRide(t, rider, driver)
	await(t, "the slow phone to be passed over", func() bool { return account(t, n.Ledger(t.Context()), "socket", "position").Overwritten > 0 },
		func() string { return fmt.Sprintf("%+v", account(t, n.Ledger(t.Context()), "socket", "position")) })
	const said = 20
	for i := range said {
		driver.command(client.NewFrame(&wire.SendChat{TripId: trip.Id, Text: fmt.Sprint("message ", i)}))
		if i%5 == 0 {
			rider.Drop()
		}
		account(t, n.Ledger(t.Context()), "socket", "chat") // adds up at any moment
	}
	heard := map[uint32]bool{}
	for len(heard) < said {
		heard[awaitFrame(rider, (*wire.ServerFrame).GetChat).Seq] = true
	}
	completeRide(driver, trip.Id)
	awaitFrame(rider, (*wire.ServerFrame).GetReceipt)

	var ledger []xray.Account
	await(t, "all to be done", func() bool {
		ledger = n.Ledger(t.Context())
		return account(t, ledger, "database", "outbox_row").Waiting == 0 && account(t, ledger, "queue", "settlement").Waiting == 0
	}, func() string { return fmt.Sprintf("%+v", ledger) })

	if a := account(t, ledger, "socket", "position"); a.Delivered == 0 {
		t.Errorf("no position came: %+v", a)
	}
	// The driver, the slow phone and the phone that drops: each message was sent
	// to the first two, and to the third while it was there or when it came back.
	if a := account(t, ledger, "socket", "chat"); a.Delivered+a.Recovered+a.Lost < 3*said || a.Delivered < 2*said {
		t.Errorf("%d messages went to three phones: %+v", said, a)
	}
	if a := account(t, ledger, "memory", "move"); a.Delivered != account(t, ledger, "socket", "fix").Delivered {
		t.Errorf("of the fixes that came from phones, the memory has %+v", a)
	}
	if a := account(t, ledger, "memory", "reserve"); a.Delivered == 0 || a.Delivered != account(t, ledger, "direct", "offer").Delivered {
		t.Errorf("%+v for the offers %+v", a, account(t, ledger, "direct", "offer"))
	}
	if a := account(t, ledger, "database", "move"); a.Delivered != 5 || a.Lost != 0 {
		t.Errorf("of five moves: %+v", a)
	}
	if a := account(t, ledger, "pubsub", "trip_event"); a.Delivered != 5 {
		t.Errorf("of five events: %+v", a)
	}
	if a := account(t, ledger, "pubsub", "chat"); a.Delivered != said {
		t.Errorf("of %d messages: %+v", said, a)
	}
	if a := account(t, ledger, "database", "outbox_row"); a.Sent != 5+said+1 {
		t.Errorf("of five events, %d messages and a receipt: %+v", said, a)
	}
	if a := account(t, ledger, "queue", "settlement"); a.Delivered+a.Recovered != 1 {
		t.Errorf("of one payment: %+v", a)
	}
	if a := account(t, ledger, "rpc", "provider_call"); a.Delivered == 0 {
		t.Errorf("of the calls of the provider: %+v", a)
	}
	if a := account(t, ledger, "rpc", "routing_call"); a.Delivered == 0 {
		t.Errorf("of the calls of the routing service: %+v", a)
	}
}

// TestTheLedgerCountsEachFixAndPositionOnce sends fixes while a phone acks
// nothing. Nothing else moves meanwhile.
func TestTheLedgerCountsEachFixAndPositionOnce(t *testing.T) {
	n := startNode(t, node.Config{Name: "one", Database: filepath.Join(t.TempDir(), "ridehail.db")})
	slow := dialNode(t, n, wire.SubprotocolJSON, &wire.Hello{Token: devToken(t, n, client.RoleRider, "ada")})
	driver := startPhone(t, n, client.RoleDriver, "dayo")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	seq := uint32(0)
	fix := func(at time.Time) {
		seq++
		if err := driver.Send(client.NewFrame(&wire.Fix{Seq: seq, AtMs: wire.ToMillis(at), Point: shortPickup, Accuracy: 5})); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now().Add(-10 * time.Second)
	fix(start)
	slow.send(&wire.ClientFrame{Id: "r1", Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{Pickup: shortPickup, Dropoff: shortDropoff}}})
	offer := awaitFrame(driver, (*wire.ServerFrame).GetOffer)
	driver.command(client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true}))
	receive(t, slow.conn, (*wire.ServerFrame).GetPosition) // where the car was

	before := n.Ledger(t.Context())
	const sent, refused = 30, 3
	for i := range sent {
		fix(start.Add(time.Duration(i+1) * 200 * time.Millisecond))
	}
	for range refused {
		fix(start) // not newer
	}

	var after []xray.Account
	count := func(class string) xray.Account {
		a, b := account(t, after, "socket", class), account(t, before, "socket", class)
		return xray.Account{Sent: a.Sent - b.Sent, Delivered: a.Delivered - b.Delivered, Overwritten: a.Overwritten - b.Overwritten,
			Lost: a.Lost - b.Lost, Waiting: a.Waiting - b.Waiting}
	}
	await(t, "all fixes to be read", func() bool {
		after = n.Ledger(t.Context())
		return count("fix").Sent == sent+refused
	}, func() string { return fmt.Sprintf("%+v", count("fix")) })

	if a := count("fix"); a.Delivered != sent || a.Lost != refused {
		t.Errorf("of %d fixes, of which %d are too old: %+v", sent+refused, refused, a)
	}
	// One more fits into the window of two that are not acked.
	if a := count("position"); a != (xray.Account{Sent: sent, Delivered: 1, Overwritten: sent - 2, Waiting: 1}) {
		t.Errorf("of %d positions for a phone that acks nothing: %+v", sent, a)
	}
}

// TestLiveShowsWhatGoesOverTheLines drives a car, and looks each second.
func TestLiveShowsWhatGoesOverTheLines(t *testing.T) {
	slowtest.Require(t)
	faults := []xray.Fault{{ID: "drop", Name: "drop messages", Possible: true}}
	n := startNode(t, node.Config{Name: "one", Database: filepath.Join(t.TempDir(), "ridehail.db"), TraceRatio: 1,
		Faults: func() []xray.Fault { return faults }})
	if live := n.Live(t.Context()); len(live.Lines) != 14 || line(t, live, "driver_phone-gateway:socket").State != "idle" {
		t.Errorf("nothing happens, and it says %+v", live.Lines)
	}

	driver, rider := startPhone(t, n, client.RoleDriver, "dayo"), startPhone(t, n, client.RoleRider, "ada")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)
	orderRide(t, rider, driver)

	var live xray.Live
	await(t, "five fixes a second", func() bool {
		live = n.Live(t.Context())
		fixes, moves := line(t, live, "driver_phone-gateway:socket"), line(t, live, "gateway-memory:memory")
		return moves.RateHz > 4 && moves.RateHz < 6 && fixes.RateHz > 4 && fixes.State == "ok"
	}, func() string { return fmt.Sprintf("%+v", live.Lines) })
	if live.Node != "one" || len(live.Nodes) != 1 || len(live.Faults) != 1 || live.Ring.Limit == 0 || len(live.Ledger) == 0 {
		t.Errorf("it says %+v", live)
	}
	if l := line(t, live, "redis-node:pubsub"); l.State == "cut" || l.WasHz != 0 {
		t.Errorf("Redis is there: %+v", l)
	}

	// All who look within a second get the same.
	if again := n.Live(t.Context()); again.AtMs != live.AtMs {
		t.Errorf("it looked again after %.0f ms", again.AtMs-live.AtMs)
	}
}

// TestLiveSaysThatRedisIsAwayAndWhatWaitsForIt stops a real Redis for a while.
func TestLiveSaysThatRedisIsAwayAndWhatWaitsForIt(t *testing.T) {
	slowtest.Require(t)
	server := processtest.Redis(t, "--save", "")
	n := startNode(t, node.Config{Name: "one", Database: filepath.Join(t.TempDir(), "ridehail.db"), Redis: server.URL})
	var live xray.Live
	awaitLive := func(what string, holds func() bool) {
		t.Helper()
		await(t, what, func() bool { live = n.Live(t.Context()); return holds() }, func() string { return fmt.Sprintf("%+v", live) })
	}
	state := func(id string) string { return line(t, live, id).State }

	var talking sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer talking.Wait()
	defer stop()
	requested := 0
	talking.Go(func() {
		for ; ctx.Err() == nil; requested++ {
			requestTrips(t, n, fmt.Sprint("t", requested, "-"), 1)
			time.Sleep(50 * time.Millisecond)
		}
	})
	awaitLive("events to be published", func() bool { return line(t, live, "outbox-redis:pubsub").RateHz > 1 })

	server.Pause()
	awaitLive("the lines of Redis to be cut and the outbox to be held", func() bool {
		return state("outbox-redis:pubsub") == "cut" && state("redis-node:direct") == "cut" && state("outbox-queue:queue") == "cut" &&
			state("store-outbox:database") == "held"
	})
	if l := line(t, live, "outbox-redis:pubsub"); l.WasHz <= 1 {
		t.Errorf("before it was cut, it carried %v a second", l.WasHz)
	}
	if s := live.Stations[0]; s.Part != "outbox" || s.Waiting == 0 || !strings.Contains(s.Sentence, "for Redis") {
		t.Errorf("the outbox says %+v", s)
	}
	if state("gateway-store:database") != "ok" {
		t.Errorf("the database is there: %+v", line(t, live, "gateway-store:database"))
	}
	stop()
	talking.Wait()
	if a := account(t, n.Ledger(t.Context()), "database", "outbox_row"); a.Waiting == 0 {
		t.Errorf("nothing waits in the outbox: %+v", a)
	}

	server.Resume()
	awaitLive("all to be published", func() bool {
		return state("redis-node:pubsub") != "cut" && state("store-outbox:database") != "held" && live.Stations[0].Waiting == 0
	})
	a := account(t, n.Ledger(t.Context()), "pubsub", "trip_event")
	if a.Recovered == 0 || a.Delivered == 0 || a.Delivered+a.Recovered != int64(requested) {
		t.Errorf("of %d events, some published when Redis was back: %+v", requested, a)
	}
}

// liveStream is a watcher of a node.
type liveStream struct {
	t    testing.TB
	body *bufio.Reader
}

func watchLive(ctx context.Context, t *testing.T, url string) *liveStream {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/xray/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("%d %s", res.StatusCode, got)
	}
	return &liveStream{t, bufio.NewReader(res.Body)}
}

// next returns the next event, and false at the end of the stream.
func (s *liveStream) next() (live xray.Live, ok bool) {
	s.t.Helper()
	name := ""
	for {
		text, err := s.body.ReadString('\n')
		if err != nil {
			return live, false
		}
		if after, is := strings.CutPrefix(text, "event: "); is {
			name = strings.TrimSpace(after)
		}
		if data, is := strings.CutPrefix(text, "data: "); is {
			if err := json.Unmarshal([]byte(data), &live); err != nil || name != "live" {
				s.t.Errorf("event %q: %v", name, err)
			}
			return live, true
		}
	}
}

func TestAllWatchersOfANodeSeeTheSameAndTheStreamEndsWithIt(t *testing.T) {
	n, stop, ended := startNodeUntil(t, node.Config{Name: "one", Database: filepath.Join(t.TempDir(), "ridehail.db")})
	leaving, leave := context.WithCancel(t.Context())
	defer leave()
	gone := watchLive(leaving, t, n.PublicURL())
	gone.next()
	leave()
	if _, ok := gone.next(); ok {
		t.Error("a watcher who left gets events")
	}

	public, operators := watchLive(t.Context(), t, n.PublicURL()), watchLive(t.Context(), t, n.AdminURL())
	seen := map[float64]int{}
	for range 2 {
		for _, s := range []*liveStream{public, operators} {
			live, ok := s.next()
			if !ok || live.Node != "one" {
				t.Fatalf("%v: %+v", ok, live)
			}
			seen[live.AtMs]++
		}
	}
	if len(seen) > 3 {
		t.Errorf("two watchers of two events each made the node look %d times", len(seen))
	}

	stop()
	for _, s := range []*liveStream{public, operators} {
		for ok := true; ok; {
			_, ok = s.next()
		}
	}
	<-ended
}

// TestAWatcherWhoDoesNotReadHoldsNothingUp opens watchers that never read.
func TestAWatcherWhoDoesNotReadHoldsNothingUp(t *testing.T) {
	n := startNode(t, node.Config{Name: "one", Database: filepath.Join(t.TempDir(), "ridehail.db")})
	for range 10 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(n.PublicURL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := fmt.Fprint(conn, "GET /v1/xray/live HTTP/1.1\r\nHost: node\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	reads := watchLive(t.Context(), t, n.PublicURL())
	for range 2 {
		if _, ok := reads.next(); !ok {
			t.Fatal("the stream ended")
		}
	}
}
