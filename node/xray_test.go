package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/xray"
)

// xrayCity is nodes that exchange hops, without Redis between them.
type xrayCity struct {
	t       testing.TB
	mu      sync.Mutex // guards below
	alive   []string
	nodes   map[string]*xrayExchange
	sent    []events.Addressed
	onTaken func() // after a part of an answer was taken; nil: ignored
	// change alters a message before it is heard; false: it is lost.
	change func(*events.Addressed) bool
}

const xrayTrip = "01890a5d-ac96-774b-bcce-b302099a8057"

func newXrayCity(t testing.TB, names ...string) *xrayCity {
	c := &xrayCity{t: t, alive: names, nodes: map[string]*xrayExchange{}}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	for _, name := range names {
		x := c.newExchange(name)
		running.Go(func() { _ = x.run(ctx) })
	}
	return c
}

func (c *xrayCity) newExchange(name string) *xrayExchange {
	tracer, err := tracing.New(c.t.Context(), tracing.Config{Node: name, Ratio: 1, Now: time.Now})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = tracer.Close(context.Background()) })
	x := &xrayExchange{node: name, ring: tracer.Ring(), alive: c.aliveNodes, uncertainty: func() (time.Duration, bool) { return -1, false },
		publish: c.publish, now: time.Now, within: time.Minute, log: slog.New(slog.DiscardHandler), asked: make(chan heardPayload, xrayBacklog), answered: make(chan heardPayload, xrayBacklog),
		questions: map[string]*xrayGathering{}, peers: map[string]time.Time{}}
	c.nodes[name] = x
	for i := range 3 {
		h := tracing.Statement.Hop(tracing.Request, 0)
		h.Key = fmt.Sprint(name, i)
		tracer.Record(xrayTrip, h, time.Now(), time.Now().Add(time.Millisecond))
	}
	return x
}

func (c *xrayCity) aliveNodes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.alive)
}

func (c *xrayCity) publish(_ context.Context, messages []events.Addressed) error {
	for _, m := range messages {
		c.mu.Lock()
		c.sent = append(c.sent, m)
		x, isHeard := c.nodes[strings.TrimPrefix(string(m.To), "node:")], c.change == nil || c.change(&m)
		c.mu.Unlock()
		switch {
		case x == nil || !isHeard:
		case m.Topic == topicXrayQuestion:
			x.hear(x.asked, m.Payload)
		case m.Topic == topicXrayAnswer:
			x.takeAnswer(heardPayload{m.Payload, x.now()})
			if c.onTaken != nil {
				c.onTaken()
			}
		}
	}
	return nil
}

// gather returns the ride as a node gathers it, and which nodes answered.
func (c *xrayCity) gather(name string) (ride xray.Ride, nodes string) {
	return c.gatherWithin(c.t.Context(), name)
}

func (c *xrayCity) gatherWithin(ctx context.Context, name string) (ride xray.Ride, nodes string) {
	ride, _ = c.nodes[name].GatherRide(ctx, trips.Trip{ID: xrayTrip, RequestedAt: time.Now()})
	var all []string
	for _, n := range ride.Nodes {
		text := fmt.Sprint(n.Name, " ", n.Hops)
		if n.Missing {
			text += " missing"
		}
		all = append(all, text)
	}
	return ride, strings.Join(all, ", ")
}

func TestARideIsGatheredFromAllNodes(t *testing.T) {
	c := newXrayCity(t, "a", "b", "c")
	ride, nodes := c.gather("a")
	if nodes != "a 3, b 3, c 3" {
		t.Errorf("nodes: %s", nodes)
	}
	for _, n := range ride.Nodes {
		if doubt := time.Duration(n.Doubt); n.Name != "a" && (doubt <= 0 || doubt > time.Minute) {
			t.Errorf("the clock of %s is in doubt by %v", n.Name, doubt)
		}
	}
}

func TestANodeThatDoesNotAnswerIsNamed(t *testing.T) {
	c := newXrayCity(t, "a", "b", "c")
	c.change = func(m *events.Addressed) bool { return m.To != events.NodeChannel("b") } // it is of an earlier build
	x := c.nodes["a"]
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c.onTaken = func() { // c has answered, so that only b is waited for
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, g := range x.questions {
			if len(g.waiting) == 1 {
				stop()
			}
		}
	}
	if _, nodes := c.gatherWithin(ctx, "a"); nodes != "a 3, b 0 missing, c 3" {
		t.Errorf("nodes: %s", nodes)
	}
	if len(c.nodes["a"].questions) != 0 {
		t.Error("a question that is over is kept")
	}
}

func TestANodeThatDiedIsNamed(t *testing.T) {
	c := newXrayCity(t, "a", "b")
	c.nodes["a"].notePeers()
	c.mu.Lock()
	c.alive = []string{"a"}
	c.mu.Unlock()
	if _, nodes := c.gather("a"); nodes != "a 3, b 0 missing" {
		t.Errorf("nodes: %s", nodes)
	}

	// A ride that began long after that has nothing to do with it.
	dead := c.nodes["a"].deadSince(time.Now().Add(time.Minute))
	if len(dead) != 0 {
		t.Errorf("named for a later ride: %v", dead)
	}
}

func TestAClockThatIsWrongShowsItsDoubt(t *testing.T) {
	c := newXrayCity(t, "a", "b")
	c.nodes["b"].now = func() time.Time { return time.Now().Add(time.Minute) }
	for _, claim := range []time.Duration{-1, time.Millisecond} { // also if both say that they are right
		claims := func() (time.Duration, bool) { return claim, claim >= 0 }
		c.nodes["a"].uncertainty, c.nodes["b"].uncertainty = claims, claims
		ride, _ := c.gather("a")
		if doubt := time.Duration(ride.Nodes[1].Doubt); doubt < 59*time.Second || doubt > 61*time.Second {
			t.Errorf("a clock that is a minute fast is in doubt by %v", doubt)
		}
	}
}

func TestClocksThatAreKnownBetterThanTheRoundTrip(t *testing.T) {
	x := &xrayExchange{uncertainty: func() (time.Duration, bool) { return time.Millisecond, true }}
	sent := time.Unix(1000, 0)
	a := &xrayAnswer{HeardAt: sent.Add(100 * time.Millisecond).UnixNano(), SentAt: sent.Add(101 * time.Millisecond).UnixNano(), Uncertainty: int64(2 * time.Millisecond)}
	if got := x.doubtOf(sent, sent.Add(201*time.Millisecond), a); got != 3*time.Millisecond {
		t.Errorf("a slow way and good clocks: %v", got)
	}
	a.Uncertainty = -1
	if got := x.doubtOf(sent, sent.Add(201*time.Millisecond), a); got != 100*time.Millisecond {
		t.Errorf("a slow way and unknown clocks: %v", got)
	}
}

func TestALongRideTravelsInParts(t *testing.T) {
	var hops []tracing.Recorded
	for range 1000 {
		hops = append(hops, tracing.Recorded{Name: "statement", Frame: strings.Repeat("x", tracing.MaxFrame)})
	}
	chunks, count := chunkHops(hops), 0
	for _, c := range chunks {
		count += len(c)
		payload, err := json.Marshal(xrayAnswer{Hops: c})
		if err != nil || len(payload) > 256<<10 {
			t.Errorf("a part of %d bytes, %v", len(payload), err)
		}
	}
	if count != len(hops) || len(chunks) < 2 {
		t.Errorf("%d hops in %d parts", count, len(chunks))
	}
}

func TestHalfAnAnswerIsTakenAndItsNodeIsMissing(t *testing.T) {
	c := newXrayCity(t, "a", "b")
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: "b", Ratio: 1, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close(context.Background())
	for i := range 300 {
		h := tracing.Statement.Hop(tracing.Request, 0)
		h.Frame = strings.Repeat("x", 1000)
		h.Key = fmt.Sprint(i)
		tracer.Record(xrayTrip, h, time.Now(), time.Now())
	}
	c.nodes["b"].ring = tracer.Ring()

	ride, nodes := c.gather("a")
	if nodes != "a 3, b 300" {
		t.Errorf("nodes: %s", nodes)
	}
	c.nodes["a"].within = 100 * time.Millisecond // the first part never comes
	first := true
	c.change = func(m *events.Addressed) bool {
		if m.Topic == topicXrayAnswer && first {
			first = false
			return false
		}
		return true
	}
	if ride, nodes = c.gather("a"); !ride.Nodes[1].Missing || ride.Nodes[1].Hops > 200 || ride.Complete {
		t.Errorf("nodes: %s", nodes)
	}
}

func TestTheTripsOfAllNodesAreOneList(t *testing.T) {
	c := newXrayCity(t, "a", "b")
	kept := c.nodes["a"].GatherTrips(t.Context())
	if kept.Kept != 1 || len(kept.Trips) != 1 || kept.Trips[0].ID != xrayTrip || kept.Trips[0].Hops != 6 || kept.Limit != 2*tracing.DefaultRingBytes {
		t.Errorf("%+v", kept)
	}
}

func TestUnreadableMessagesAboutHopsAreIgnored(t *testing.T) {
	c := newXrayCity(t, "a", "b")
	x := c.nodes["a"]
	for _, payload := range []string{"", "{", `{"id":"no such question","node":"b","parts":1}`, `{"node":"a"}`} {
		x.hear(x.asked, []byte(payload))
		x.hear(x.answered, []byte(payload))
	}
	if _, nodes := c.gather("a"); nodes != "a 3, b 3" {
		t.Errorf("nodes: %s", nodes)
	}
}
