package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/xray"
)

// xrayOf returns a trip hop by hop, as a node's operators get it.
func xrayOf(t testing.TB, n *node.Node, trip string) (r xray.Ride) {
	t.Helper()
	res, err := http.Get(n.AdminURL() + "/v1/xray/" + trip)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", res.StatusCode, body, err)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// quotedRide has a rider ask for the price, and make a whole ride of that with a
// driver. between is called while the driver drives to the pickup, and may let
// the driver arrive.
func quotedRide(t testing.TB, asked *node.Node, rider, driver *phone, between func(trip string) (hasArrived bool)) (trip string) {
	t.Helper()
	body := fmt.Sprintf(`{"pickup":{"lng":%g,"lat":%g},"dropoff":{"lng":%g,"lat":%g}}`, shortPickup.Lng, shortPickup.Lat, shortDropoff.Lng, shortDropoff.Lat)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, asked.PublicURL()+"/v1/quotes", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+devToken(t, asked, "rider", "ada"))
	quote, _ := do(t, req)["quote"].(string)

	trip = rider.command(client.NewFrame(&wire.RequestTrip{Quote: quote})).Id
	offer := awaitFrame(driver, (*wire.ServerFrame).GetOffer)
	driver.command(client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true}))
	steps := []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE}
	if between(trip) {
		steps = steps[1:]
	}
	for _, step := range steps {
		driver.command(client.NewFrame(&wire.MoveTrip{TripId: trip, Step: step}))
	}
	awaitFrame(rider, (*wire.ServerFrame).GetReceipt)
	return trip
}

// describeUnseen lists what a ride should have and has not.
func describeUnseen(r xray.Ride) string {
	var list []string
	for _, p := range r.Phases {
		for _, h := range p.Hops {
			if !h.Seen && h.Code != xray.CodeOverwritten {
				list = append(list, fmt.Sprintf("%s %d %s (%s: %s)", p.Name, p.Nth, h.Name, h.Code, h.Reason))
			}
		}
	}
	return strings.Join(list, "\n")
}

// checkSums fails unless the times of a ride add up.
func checkSums(t *testing.T, r xray.Ride) {
	t.Helper()
	if r.Waited.Total() != r.Duration || r.Duration <= 0 {
		t.Errorf("the waits are %d ns together, the ride %d", r.Waited.Total(), r.Duration)
	}
	for _, p := range r.Phases {
		sum := p.Unknown
		for _, h := range p.Hops {
			sum += h.Own
		}
		if sum != p.Duration {
			t.Errorf("%s %d: hops and unknown are %d ns together, the phase %d", p.Name, p.Nth, sum, p.Duration)
		}
	}
}

// checkOnce fails unless each send comes before its receipt within the doubt,
// and nothing came twice.
func checkOnce(t *testing.T, r xray.Ride) {
	t.Helper()
	began := map[string]float64{} // of the hops that are a cause
	for _, p := range r.Phases {
		for _, h := range p.Hops {
			if h.Key != "" {
				began[h.Key] = p.BeganAt*1000 + float64(h.Began)/1000
			}
		}
	}
	for _, p := range r.Phases {
		for _, h := range p.Hops {
			if h.Repeated {
				t.Errorf("%s %d: %s came twice (%s)", p.Name, p.Nth, h.Name, h.Reason)
			}
			at, isKnown := began[h.Cause]
			heardAt := p.BeganAt*1000 + float64(h.Began+h.Duration+h.Doubt)/1000
			if isMessage := h.From == tracing.Redis || h.From == tracing.JobQueue; h.Seen && isMessage && (!isKnown || heardAt < at-1) {
				t.Errorf("%s %d: %s at %.0f µs ± %d ns, its cause %q (known: %v) %.0f µs", p.Name, p.Nth, h.Name, heardAt, h.Doubt, h.Cause, isKnown, at)
			}
		}
	}
}

// TestEveryHopOfARideOverTwoNodesIsSeenOnce has the rider at one node and the
// driver at another.
func TestEveryHopOfARideOverTwoNodesIsSeenOnce(t *testing.T) {
	address, _ := openRedis(t)
	one, two, rider, driver := startTracedPair(t, address, address)
	trip := quotedRide(t, two, rider, driver, func(string) bool {
		for range 6 { // more than a second, in which two are recorded
			awaitFrame(rider, (*wire.ServerFrame).GetPosition)
		}
		return false
	})

	var r xray.Ride
	await(t, "every hop", func() bool {
		r = xrayOf(t, one, trip)
		return r.Complete && describeUnseen(r) == ""
	}, func() string { return describeUnseen(r) })
	checkSums(t, r)
	checkOnce(t, r)

	phases := map[tracing.Phase]int{}
	for _, p := range r.Phases {
		phases[p.Name]++
	}
	for _, name := range []tracing.Phase{tracing.Quote, tracing.Request, tracing.Match, tracing.Offer, tracing.Accept, tracing.Position, tracing.Arrive,
		tracing.Start, tracing.Complete, tracing.Charge, tracing.Receipt} {
		if phases[name] == 0 {
			t.Errorf("there is no phase %s", name)
		}
	}
	for _, n := range r.Nodes {
		if n.Missing || n.Hops == 0 {
			t.Errorf("node %s: %d hops, missing %v", n.Name, n.Hops, n.Missing)
		}
	}
	other := xrayOf(t, two, trip)
	if a, b := len(r.Phases), len(other.Phases); a != b {
		t.Errorf("one node tells %d phases, the other %d", a, b)
	}
}

// TestANodeThatIsGoneIsMissingFromTheRide stops the driver's node after the ride.
func TestANodeThatIsGoneIsMissingFromTheRide(t *testing.T) {
	address, _ := openRedis(t)
	cfg := node.Config{Database: createDatabase(t), Redis: address, DatabaseConns: 5, TraceRatio: 1, Name: "one"}
	one, stopOne, ended := startNodeUntil(t, cfg)
	cfg.Name = "two"
	two := startNode(t, cfg)
	rider, driver := startPhone(t, two, client.RoleRider, "ada"), startPhone(t, one, client.RoleDriver, "dayo", two)
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)
	var before xray.Ride
	trip := quotedRide(t, two, rider, driver, func(trip string) bool {
		await(t, "hops of both nodes", func() bool {
			before = xrayOf(t, two, trip)
			return len(before.Nodes) == 2 && before.Nodes[0].Hops > 0 && before.Nodes[1].Hops > 0
		}, func() string { return fmt.Sprint(before.Nodes) })
		stopOne()
		<-ended
		return false
	})

	var r xray.Ride
	await(t, "the node that is gone", func() bool {
		r = xrayOf(t, two, trip)
		return len(r.Nodes) == 2 && r.Nodes[0].Missing
	}, func() string { return fmt.Sprint(r.Nodes) })
	if r.Complete || !strings.Contains(describeUnseen(r), xray.CodeNodeMissing) {
		t.Errorf("complete %v\n%s", r.Complete, describeUnseen(r))
	}
	checkSums(t, r)
}

// startTracedPair starts a node with a driver and another with a rider, each at
// an address of Redis, that record all rides.
func startTracedPair(t *testing.T, redisOfOne, redisOfTwo string) (one, two *node.Node, rider, driver *phone) {
	t.Helper()
	cfg := node.Config{Database: createDatabase(t), DatabaseConns: 5, TraceRatio: 1}
	cfg.Name, cfg.Redis = "one", redisOfOne
	one = startNode(t, cfg)
	cfg.Name, cfg.Redis = "two", redisOfTwo
	two = startNode(t, cfg)
	rider, driver = startPhone(t, two, client.RoleRider, "ada"), startPhone(t, one, client.RoleDriver, "dayo")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)
	return one, two, rider, driver
}

// TestARideWithRedisCutShowsWhatStoodInForIt cuts the rider's node off from
// Redis until the driver's arrival was published.
func TestARideWithRedisCutShowsWhatStoodInForIt(t *testing.T) {
	address, _ := openRedis(t)
	cut := newRedisLine(t, address)
	one, two, rider, driver := startTracedPair(t, address, cut.URL)
	trip := quotedRide(t, two, rider, driver, func(trip string) bool {
		cut.setDown(true)
		driver.command(client.NewFrame(&wire.MoveTrip{TripId: trip, Step: wire.Step_ARRIVE}))
		await(t, "the arrival's publishing", func() bool {
			return slices.ContainsFunc(one.Tracer().Ring().HopsOf(trip), func(h tracing.Recorded) bool { return h.Key == "publish:event:3" && !h.Failed })
		}, func() string { return fmt.Sprint(len(one.Tracer().Ring().HopsOf(trip)), " hops") })
		cut.setDown(false)
		for seq := uint32(0); seq != 3; {
			seq = awaitFrame(rider, (*wire.ServerFrame).GetTripEvent).Seq
		}
		return true
	})

	var r xray.Ride
	await(t, "a whole ride", func() bool {
		r = xrayOf(t, one, trip)
		return r.Complete
	}, func() string { return describeUnseen(r) })
	checkSums(t, r)
	for _, p := range r.Phases {
		if p.Name != tracing.Arrive {
			continue
		}
		for _, h := range p.Hops {
			if h.Name == tracing.Heard.Name && !h.Seen && (h.Code == xray.CodeReadBack || h.Code == xray.CodeResumed) && h.Reason != "" {
				return
			}
		}
		t.Errorf("nothing stands in for the arrival that was not heard: %+v", p.Hops)
	}
}

// redisLine carries connections to Redis, but not while it is down.
type redisLine struct {
	URL string

	mu   sync.Mutex // guards below
	down bool
	open []net.Conn
}

func newRedisLine(t *testing.T, address string) *redisLine {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	far := to.Host
	to.Host = listener.Addr().String()
	l := &redisLine{URL: to.String()}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			if end, ok := l.connect(near, far); ok {
				carrying.Go(func() { _, _ = io.Copy(near, end); near.Close() })
				carrying.Go(func() { _, _ = io.Copy(end, near); end.Close() })
			}
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.setDown(true)
		carrying.Wait()
	})
	return l
}

// connect connects both ends, unless the line is down.
func (l *redisLine) connect(near net.Conn, address string) (far net.Conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down {
		var err error
		if far, err = net.Dial("tcp", address); err == nil {
			l.open = append(l.open, near, far)
			return far, true
		}
	}
	near.Close()
	return nil, false
}

// setDown cuts all connections and refuses new ones, or carries them again.
func (l *redisLine) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for _, conn := range l.open {
		if down {
			conn.Close()
		}
	}
	if down {
		l.open = nil
	}
}
