package check_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/chaos/check"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/trips"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is the true store, trip service, chat room, relay, queue and settler of a
// node, with phones that keep a journal. What breaks is replies, workers and
// the provider's answers.
type node struct {
	t       *testing.T
	dir     string
	store   *sqlite.Store
	service *trips.Service
	room    *chat.Room
	redis   *events.Redis
	worker  *events.Worker
	kept    *journal.Journal

	mu     sync.Mutex // guards below
	failed map[string]bool
	// marked has the marks that arrived. All messages before them had arrived.
	marked map[string]bool
}

const (
	stream = "settlements"
	mark   = "mark"
)

func region() location.Region {
	r, err := location.RegionOf(marina)
	if err != nil {
		panic(err)
	}
	return r
}

func newNode(t *testing.T) *node {
	n := &node{t: t, dir: t.TempDir(), failed: map[string]bool{}, marked: map[string]bool{}}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}

	var err error
	n.store, err = sqlite.Open(t.Context(), filepath.Join(n.dir, "city.db"), sqlite.Options{Relaxed: true})
	must(err)
	t.Cleanup(func() { must(n.store.Close()) })
	n.kept, err = journal.Create(filepath.Join(n.dir, "journal.jsonl"))
	must(err)
	n.redis, err = events.OpenEmbedded(events.WithLog(slog.New(slog.DiscardHandler)))
	must(err)
	t.Cleanup(func() { _ = n.redis.Close() })
	n.service = &trips.Service{Store: n.store, Now: time.Now}
	n.room = &chat.Room{Store: n.store, Trips: n.store, Now: time.Now}
	settler := &payments.Settler{Trips: n.store, Charges: n.store, Refunds: n.store, Now: time.Now,
		Backoff: time.Millisecond, Provider: &payments.HTTPProvider{URL: n.provider(), Secret: "sk",
			Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}}
	n.worker = &events.Worker{Redis: n.redis, Stream: stream, Consumer: "n", Heartbeat: 20 * time.Millisecond,
		Handle: func(ctx context.Context, id string, payload []byte) error {
			if n.firstTime("worker " + id) {
				return errors.New("the worker falls over its first attempt")
			}
			return settler.HandleJob(ctx, id, payload)
		}}
	return n
}

func (n *node) firstTime(what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.failed[what]
	n.failed[what] = true
	return !was
}

// provider takes the money and loses its first reply.
func (n *node) provider() string {
	ledger, err := provider.OpenLedger(filepath.Join(n.dir, "ledger.jsonl"))
	if err != nil {
		n.t.Fatal(err)
	}

	emulator := provider.NewEmulator(provider.Config{Secret: "sk"}, ledger)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && n.firstTime("charge") {
			emulator.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		emulator.ServeHTTP(w, r)
	}))

	n.t.Cleanup(func() {
		server.Close()
		emulator.Close()
		if err := ledger.Close(); err != nil {
			n.t.Error(err)
		}
	})

	return server.URL
}

// background runs until the returned function is called, which waits for it.
func background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { _ = run(ctx) })
	return func() { cancel(); wait.Wait() }
}

func (n *node) tell(who trips.Actor, r journal.Record) {
	r.Who, r.Phone = who.String(), "phone of "+who.ID
	n.kept.AddRecord(r)
}

// OnGap never matters here: the subscription begins before all else.
func (n *node) OnGap(events.Gap) {}

// OnMessage is what the phones of a trip's people are told.
func (n *node) OnMessage(m events.Message) {
	switch m.Topic {
	case mark:
		n.mu.Lock()
		n.marked[string(m.Payload)] = true
		n.mu.Unlock()
	case string(trips.TopicTrip):
		var ev trips.Event
		n.decode(m, &ev)
		t := ev.Trip
		n.both(t, journal.Record{What: journal.Event, Trip: string(t.ID), Seq: t.Version, Kind: string(ev.Kind),
			State: string(t.State), Driver: string(t.Driver)})
	case string(trips.TopicChat):
		var said chat.Message
		n.decode(m, &said)
		t, err := n.store.Trip(context.Background(), said.Trip)
		if err != nil {
			n.t.Error(err)
		}
		n.both(t, journal.Record{What: journal.Chat, Trip: string(said.Trip), Chat: said.Seq,
			From: string(said.From.Role), Client: said.ClientID})
	case string(trips.TopicReceipt):
		var c payments.Charge
		n.decode(m, &c)
		n.tell(trips.Rider(c.Rider), journal.Record{What: journal.Receipt, Trip: string(c.Trip), Reference: c.Reference,
			Minor: c.Amount.Minor, Currency: c.Amount.Currency})
	}
}

func (n *node) decode(m events.Message, to any) {
	if err := json.Unmarshal(m.Payload, to); err != nil {
		n.t.Errorf("%s: %v", m.Topic, err)
	}
}

func (n *node) both(t trips.Trip, r journal.Record) {
	n.tell(trips.Rider(t.Rider), r)
	if t.Driver != "" {
		n.tell(trips.Driver(t.Driver), r)
	}
}

// ask gives a command and tells what became of it; lost times its ack gets lost
// and it is given again.
func (n *node) ask(who trips.Actor, id, kind string, trip trips.TripID, lost int,
	do func(trips.IdempotencyKey) (trips.Event, error)) trips.Trip {
	n.tell(who, journal.Record{What: journal.Offer, Offer: id, Trip: string(trip)})
	r := journal.Record{What: journal.Invoke, Command: id, Kind: kind, Trip: string(trip), Offer: id}
	n.tell(who, r)
	k := trips.IdempotencyKey{Actor: who, ID: id, Fingerprint: kind}
	for range lost {
		_, _ = do(k)
	}

	ev, err := do(k)
	if err != nil {
		r.What, r.Code = journal.Fail, err.Error()
		n.tell(who, r)
		return trips.Trip{}
	}

	t := ev.Trip
	r.What, r.Trip, r.Seq, r.State, r.Driver = journal.OK, string(t.ID), t.Version, string(t.State), string(t.Driver)
	n.tell(who, r)
	return t
}

func (n *node) request(r trips.RiderID, id string) trips.Trip {
	return n.ask(trips.Rider(r), id, journal.Request, "", 0, func(k trips.IdempotencyKey) (trips.Event, error) {
		return n.service.RequestTrip(context.Background(), k, r, marina, quay, quote)
	})
}

func (n *node) accept(d trips.DriverID, id string, trip trips.TripID, lost int) trips.Trip {
	verb := func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(d, at) }
	return n.move(trips.Driver(d), id, journal.Accept, trip, lost, verb)
}

func (n *node) move(who trips.Actor, id, kind string, trip trips.TripID, lost int, verb trips.Transition) trips.Trip {
	return n.ask(who, id, kind, trip, lost, func(k trips.IdempotencyKey) (trips.Event, error) {
		return n.service.Apply(context.Background(), k, trip, verb)
	})
}

// say sends a message, twice as if the first ack had been lost.
func (n *node) say(who trips.Actor, id string, trip trips.TripID) {
	r := journal.Record{What: journal.Invoke, Command: id, Kind: journal.Say, Trip: string(trip)}
	n.tell(who, r)
	var m chat.Message
	var err error
	for range 2 {
		m, err = n.room.Send(context.Background(), who, trip, id, "hello")
	}
	r.What, r.Chat = journal.OK, m.Seq
	if err != nil {
		r.What, r.Code = journal.Fail, err.Error()
	}

	n.tell(who, r)
}

// ride takes a rider from a request to a completed trip.
func (n *node) ride(r trips.RiderID, d trips.DriverID) {
	rider, driver, name := trips.Rider(r), trips.Driver(d), string(r)
	for _, who := range []trips.Actor{rider, driver} {
		n.tell(who, journal.Record{What: journal.Hello})
		n.tell(who, journal.Record{What: journal.Welcome})
	}

	t := n.request(r, name+" requests")
	n.request(r, name+" requests once more") // is refused
	n.accept(d, name+" is accepted", t.ID, 1)
	n.say(rider, name+" speaks", t.ID)
	n.say(driver, name+" hears", t.ID)

	for _, step := range []struct {
		command, kind string
		trips.Step
	}{
		{"arrives far away", journal.Arrive, stepAt(trips.KindArrived, quay)}, // is refused
		{"arrives", journal.Arrive, stepAt(trips.KindArrived, marina)},
		{"starts", journal.Start, stepAt(trips.KindOnTrip, marina)},
		{"completes", journal.Complete, stepAt(trips.KindCompleted, quay)},
	} {
		n.move(driver, name+": "+step.command, step.kind, t.ID, 0, func(t trips.Trip, at time.Time) (trips.Event, error) {
			return t.MakeStep(step.Step, driver, at)
		})
	}
}

// quarrel is a driver who wants two trips at a time; the second is cancelled.
func (n *node) quarrel() {
	for _, who := range []trips.Actor{trips.Rider("efe"), trips.Rider("femi"), trips.Driver("gozi")} {
		n.tell(who, journal.Record{What: journal.Hello})
		n.tell(who, journal.Record{What: journal.Welcome})
	}

	one, two := n.request("efe", "e1"), n.request("femi", "f1")
	n.accept("gozi", "g1", one.ID, 0)
	n.accept("gozi", "g2", two.ID, 0) // is refused

	for rider, trip := range map[trips.RiderID]trips.TripID{"efe": one.ID, "femi": two.ID} {
		who := trips.Rider(rider)
		verb := func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Cancel(who, "no more", at) }
		n.move(who, "c-"+string(rider), journal.Cancel, trip, 1, verb)
	}
}

// drained waits until the outbox is empty and its messages have arrived.
func (n *node) drained() {
	n.until("the outbox is empty", func() bool {
		left, _, err := n.store.Backlog(n.t.Context())
		return err == nil && left == 0
	})
	n.heard(time.Now().String())
}

// heard waits until all messages sent so far have arrived.
func (n *node) heard(name string) {
	n.until("the phones hear", func() bool {
		_ = n.redis.Publish(n.t.Context(), events.OldRegionChannel(region()), events.Message{Topic: mark, Region: region(), Payload: []byte(name)})
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.marked[name]
	})
}

func (n *node) until(what string, ok func() bool) {
	n.t.Helper()
	for late := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(late) {
			n.t.Fatalf("never happened: %s", what)
		}
	}
}

func TestANodeUnderFireKeepsItsPromises(t *testing.T) {
	n := newNode(t)
	hushed := background(func(ctx context.Context) error {
		news := n.redis.NewListener(events.ListenerConfig{Name: "news", Node: "n", Handler: n})
		news.Follow(events.OldRegionChannel(region()))
		return news.Run(ctx)
	})
	defer hushed()

	n.heard("the subscription")
	relay := events.NewRelay(n.redis, n.store, events.RelayConfig{Node: "n", PollInterval: 5 * time.Millisecond,
		Streams: map[trips.Kind]string{trips.KindCompleted: stream}})
	defer background(relay.Run)()

	for r, d := range map[trips.RiderID]trips.DriverID{"ada": "chidi", "bola": "dayo", "chi": "emeka"} {
		n.ride(r, d)
	}
	n.quarrel()
	n.drained() // all jobs are queued before any is done
	defer background(n.worker.Run)()

	n.until("the queue is empty", func() bool {
		left, err := n.redis.CountOutstanding(t.Context(), stream)
		return err == nil && left == 0
	})
	n.drained()
	if err := n.kept.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := check.Run(t.Context(), check.Evidence{DB: n.store, Commands: n.store, Grace: time.Nanosecond,
		Journals: []string{filepath.Join(n.dir, "journal.jsonl")}, Ledger: filepath.Join(n.dir, "ledger.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violations() != 0 || r.Commands != 33 || r.Payments != 3 {
		t.Error("\n" + r.Text())
	}
}
