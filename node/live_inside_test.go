package node

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// TestTheLedgerNamesOnlyMetricsThatANodeHas finds a name that is wrong, which
// would count nothing for ever.
func TestTheLedgerNamesOnlyMetricsThatANodeHas(t *testing.T) {
	n := openNode(t, func(*Node, trips.Event) {})
	payments.CountCalls(nil, n.registry) // a node counts them once it has a provider
	all := make(chan *prometheus.Desc, 10_000)
	n.registry.Describe(all)
	close(all)
	var known strings.Builder
	for d := range all {
		fmt.Fprintln(&known, d)
	}

	named := 0
	for _, file := range []string{"ledger.go", "live_lines.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(ridehail_[a-z_]+)"`).FindAllStringSubmatch(string(text), -1) {
			named++
			if !strings.Contains(known.String(), fmt.Sprintf("fqName: %q", m[1])) {
				t.Errorf("%s names the metric %s, which no part has", file, m[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d metrics were found", named)
	}
}

func TestEachHopIsADotOnItsLine(t *testing.T) {
	for _, c := range []struct {
		kind     *tracing.Kind
		from, to tracing.Part // where the kind leaves them open
		want     string
	}{
		{tracing.FrameRead, tracing.RiderPhone, "", "rider_phone-gateway:socket"},
		{tracing.EventWritten, "", tracing.DriverPhone, "driver_phone-gateway:socket"},
		{tracing.PositionWritten, "", "", "rider_phone-gateway:socket"},
		{tracing.FixSent, "", "", "driver_phone-gateway:socket"},
		{tracing.FixMoved, "", "", "gateway-memory:memory"},
		{tracing.CandidateSearch, "", "", "memory-dispatch:memory"},
		{tracing.RouteCall, "", "", "gateway-routing:rpc"},
		{tracing.MatrixCall, "", "", "routing-dispatch:rpc"},
		{tracing.Statement, "", "", "gateway-store:database"},
		{tracing.ChargeRecorded, "", "", "gateway-store:database"},
		{tracing.OutboxWait, "", "", "store-outbox:database"},
		{tracing.OfferSent, "", "", "dispatch-redis:direct"},
		{tracing.LookAround, "", "", "dispatch-redis:direct"},
		{tracing.OfferHeard, "", "", "redis-node:direct"},
		{tracing.Publish, "", "", "outbox-redis:pubsub"},
		{tracing.Heard, "", "", "redis-node:pubsub"},
		{tracing.JobAdded, "", "", "outbox-queue:queue"},
		{tracing.ProviderCall, "", "", "queue-provider:rpc"},
		{tracing.Assignment, "", "", ""},
		{tracing.PriceRead, "", "", ""},
		{tracing.CommandWait, "", "", ""},
	} {
		hop := c.kind.Hop(tracing.Request, 0)
		h := tracing.Recorded{Name: c.kind.Name, From: max(hop.From, c.from), To: max(hop.To, c.to)}
		got := ""
		if i := lineOf(&h); i >= 0 {
			got = mapLines[i].id
		}
		if got != c.want {
			t.Errorf("%s is on line %q, want %q", c.kind.Name, got, c.want)
		}
	}
}

func TestAtMostTwelveDotsASecondAreOnALine(t *testing.T) {
	now, w := time.Now(), newLineWatcher()
	hop := func(age time.Duration, phase tracing.Phase) tracing.Recorded {
		ended := now.Add(-age)
		return tracing.Recorded{Name: tracing.FixMoved.Name, From: tracing.Gateway, To: tracing.SharedState, Phase: phase,
			Trace: "00112233445566778899aabbccddeeff", Began: ended.Add(-time.Millisecond).UnixNano(), Ended: ended.UnixNano()}
	}
	hops := []tracing.Recorded{hop(time.Minute, tracing.Position), hop(5*time.Second, tracing.Position)}
	for i := range 30 {
		hops = append(hops, hop(time.Duration(30-i)*time.Millisecond, tracing.Position))
	}
	w.takeHops(hops, now)
	if len(w.dots) != maxLineDots || w.dots[0].Trip != "00112233-4455-6677-8899-aabbccddeeff" || w.dots[0].AgoMs > 2 {
		t.Errorf("%d dots: %+v", len(w.dots), w.dots)
	}
	lines := w.describe(reading{}, now)
	if l := lines[2]; l.ID != "gateway-memory:memory" || l.P50Us != 1000 || l.P99Us != 1000 || len(w.hops) != 31 {
		t.Errorf("of %d hops of a millisecond: %+v", len(w.hops), l)
	}

	w.takeHops([]tracing.Recorded{hop(0, "")}, now)
	if len(w.dots) != 1 || w.dots[0].Trip != "" {
		t.Errorf("of a batch: %+v", w.dots)
	}
	w.takeHops(nil, now.Add(hopsOver+time.Second))
	if len(w.dots) != 0 || len(w.hops) != 0 {
		t.Errorf("later there are %d dots and %d hops", len(w.dots), len(w.hops))
	}
}

// TestALineThatIsCutSaysWhatItCarriedBefore looks at a routing service that
// stops to answer, is not asked for a while, and answers again.
func TestALineThatIsCutSaysWhatItCarriedBefore(t *testing.T) {
	w, now := newLineWatcher(), time.Now()
	var r reading
	look := func(road, unanswered uint64) (state string, rate, was float64) {
		now = now.Add(ratesOver + time.Second)
		r.routing.Road += road
		r.routing.Unanswered += unanswered
		r.routing.Calls += road + unanswered
		l := w.describe(r, now)[4]
		return l.State, l.RateHz, l.WasHz
	}
	look(0, 0)
	for i, c := range []struct {
		road, unanswered uint64
		state            string
		was              float64
	}{{8, 0, lineOK, 0}, {8, 1, lineOK, 0}, {0, 4, lineCut, 9. / 4}, {0, 0, lineCut, 9. / 4}, {4, 0, lineOK, 0}, {0, 0, lineIdle, 0}} {
		state, rate, was := look(c.road, c.unanswered)
		if want := float64(c.road+c.unanswered) / 4; state != c.state || was != c.was || rate != want {
			t.Errorf("look %d: %s at %v, before %v; want %s at %v, before %v", i, state, rate, was, c.state, want, c.was)
		}
	}
}

func TestTheStoresLineIsHeldWhileMovesWaitAndNoneIsCommitted(t *testing.T) {
	read := func(committed, failed, underWay float64) reading {
		return reading{values: metricValues{
			"ridehail_store_moves_total":     {{map[string]string{"outcome": "committed"}, committed}, {map[string]string{"outcome": "failed"}, failed}},
			"ridehail_store_moves_under_way": {{nil, underWay}},
		}}
	}
	for _, c := range []struct {
		now, before reading
		want        string
	}{
		{read(7, 0, 2), read(7, 0, 1), lineHeld},
		{read(7, 1, 0), read(7, 0, 0), lineHeld},
		{read(8, 1, 2), read(7, 0, 1), ""},
		{read(7, 0, 2), read(7, 0, 0), ""},
		{read(7, 0, 0), read(7, 0, 0), ""},
	} {
		if got := storeState(c.now, c.before); got != c.want {
			t.Errorf("%v after %v: %q, want %q", c.now.values, c.before.values, got, c.want)
		}
	}
}

// tightListener makes connections whose buffers hold less than an event.
type tightListener struct{ net.Listener }

func (l tightListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(1)
	}
	return conn, err
}

// TestAWatcherWhoDoesNotReadIsDropped has one who asks and then reads nothing.
func TestAWatcherWhoDoesNotReadIsDropped(t *testing.T) {
	slowtest.Require(t)
	n := openNode(t, func(*Node, trips.Event) {})
	dropped := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.live.ServeHTTP(w, r)
		close(dropped)
	}))
	server.Listener = tightListener{server.Listener}
	server.Start()
	defer server.Close()

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: node\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-dropped:
	case <-time.After(time.Minute):
		t.Error("it is still waited for")
	}
}
