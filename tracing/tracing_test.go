package tracing

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

var began = time.Date(2026, 11, 1, 18, 20, 2, 123456789, time.UTC)

func newTracer(t *testing.T, cfg Config) *Tracer {
	t.Helper()
	if cfg.Node == "" {
		cfg.Node = "node-1"
	}
	if cfg.Ratio == 0 {
		cfg.Ratio = 1
	}
	tracer, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := tracer.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return tracer
}

func TestAHopIsKeptAsItWasRecorded(t *testing.T) {
	tracer, trip := newTracer(t, Config{}), uuid.NewString()
	h := FrameRead.Hop(Accept, 2)
	h.From, h.Bytes, h.Batch, h.Key, h.Cause = DriverPhone, 61, 3, "command:c1", "offer:o1"
	h.Code, h.Reason, h.IsFailure, h.Frame = "taken", "Another driver was faster.", true, `{"a":1}`
	tracer.Record(trip, h, began, began.Add(120*time.Microsecond))

	hops := tracer.Ring().HopsOf(trip)
	if len(hops) != 1 {
		t.Fatalf("%d hops: %v", len(hops), hops)
	}
	got := hops[0]
	if !strings.HasPrefix(got.Source, "tracing/tracing_test.go:") {
		t.Errorf("source line %q", got.Source)
	}
	want := Recorded{Trace: strings.ReplaceAll(trip, "-", ""), Span: got.Span, Name: "frame_read", Phase: Accept, Nth: 2, From: DriverPhone, To: Gateway,
		Node: "node-1", Mechanism: Socket, Began: began.UnixNano(), Ended: began.UnixNano() + 120_000, Bytes: 61, Batch: 3, Key: "command:c1", Cause: "offer:o1",
		Reason: "Another driver was faster.", Code: "taken", Failed: true, Frame: `{"a":1}`, Source: got.Source}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWhoHearsLinksToWhoSaid(t *testing.T) {
	collector := tracetest.NewInMemoryExporter()
	here, there := newTracer(t, Config{Exporter: collector}), newTracer(t, Config{Node: "node-2", Exporter: collector})
	trip := uuid.NewString()

	said := Publish.Hop(Accept, 0)
	said.Key = "publish:" + EventID(2)
	here.Record(trip, said, began, began.Add(time.Millisecond))
	heard := Heard.Hop(Accept, 0)
	heard.Cause = said.Key
	there.Record(trip, heard, began, began.Add(2*time.Millisecond))
	ride := Ride.Hop("", 0)
	ride.Key = RootKey
	here.Record(trip, ride, began, began.Add(time.Minute))

	for _, x := range []*Tracer{here, there} {
		if err := x.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	spans := map[string]tracetest.SpanStub{}
	for _, s := range collector.GetSpans() {
		spans[s.Name] = s
		if got, want := s.SpanContext.TraceID().String(), strings.ReplaceAll(trip, "-", ""); got != want {
			t.Errorf("%s is in trace %s instead of the trip's %s", s.Name, got, want)
		}
	}
	root := spans["ride"].SpanContext.SpanID()
	if spans["ride"].Parent.IsValid() || spans["publish"].Parent.SpanID() != root || spans["heard"].Parent.SpanID() != root {
		t.Error("the ride is not the parent of its hops")
	}
	links := spans["heard"].Links
	if len(links) != 1 || links[0].SpanContext.SpanID() != spans["publish"].SpanContext.SpanID() {
		t.Errorf("what was heard links to %v", links)
	}
	if p, c := spans["publish"].SpanKind, spans["heard"].SpanKind; p != trace.SpanKindProducer || c != trace.SpanKindConsumer {
		t.Errorf("kinds %v and %v", p, c)
	}
}

func TestABatchIsOneSpanOfManyTrips(t *testing.T) {
	collector := tracetest.NewInMemoryExporter()
	tracer := newTracer(t, Config{Exporter: collector, Ratio: .5})
	var shared []Shared
	sampled := 0
	for n := range 8 {
		id := uuid.NewString()
		for n == 0 && !tracer.Samples(id) { // at least one is
			id = uuid.NewString()
		}
		if tracer.Samples(id) {
			sampled++
		}
		shared = append(shared, Shared{ID: id, Phase: Arrive, Nth: n, Key: "commit:" + EventID(uint32(n))})
	}
	tracer.RecordBatch(shared, Statement.Hop("", 0), began, began.Add(time.Millisecond))
	if err := tracer.provider.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}

	spans := collector.GetSpans()
	if len(spans) != 1 || len(spans[0].Links) != sampled || spans[0].Parent.IsValid() {
		t.Fatalf("%d spans, %d links for %d sampled trips", len(spans), len(spans[0].Links), sampled)
	}
	for n, s := range shared {
		hops := tracer.Ring().HopsOf(s.ID)
		if !tracer.Samples(s.ID) {
			if hops != nil {
				t.Errorf("trip %d is not sampled and has %v", n, hops)
			}
			continue
		}
		if len(hops) != 1 || hops[0].Phase != Arrive || hops[0].Nth != n || hops[0].Key != s.Key || hops[0].Batch != 8 {
			t.Errorf("trip %d: %+v", n, hops)
		}
	}
}

func TestAQuoteIsKeptWithItsTrip(t *testing.T) {
	tracer, quote := newTracer(t, Config{}), uuid.NewString()
	read := QuoteRead.Hop(Quote, 0)
	read.Key = RootKey
	tracer.Record(quote, read, began, began)
	first, second := NewTripID(quote), NewTripID(quote)
	for _, trip := range []string{first, second} {
		tracer.Record(trip, FrameRead.Hop(Request, 0), began, began)
	}

	names := func(trip string) (names string) {
		for _, h := range tracer.Ring().HopsOf(trip) {
			names += h.Name + " "
		}
		return names
	}
	// A rider may ask for two trips with one quote, when the first came to nothing.
	for _, trip := range []string{first, second} {
		if got := names(trip); got != "quote_read frame_read " {
			t.Errorf("kept: %q", got)
		}
	}
	if got := names(uuid.NewString()); got != "" {
		t.Errorf("an unknown trip has %q", got)
	}
}

func TestTheRingKeepsTheNewestWithinItsBound(t *testing.T) {
	tracer := newTracer(t, Config{RingBytes: 20_000})
	ids := make([]string, 50)
	for i := range ids {
		ids[i] = uuid.NewString()
		for range 5 {
			tracer.Record(ids[i], FrameRead.Hop(Request, 0), began, began)
		}
	}
	if s := tracer.Ring().Stats(); s.Bytes > 20_000 || s.Rides < 5 || s.Rides == len(ids) {
		t.Errorf("%+v", s)
	}
	if len(tracer.Ring().HopsOf(ids[0])) != 0 || len(tracer.Ring().HopsOf(ids[49])) != 5 {
		t.Error("not the newest are kept")
	}
	trips := tracer.Ring().Trips(2)
	if len(trips) != 2 || trips[0].ID != ids[49] || trips[1].ID != ids[48] {
		t.Errorf("newest trips %v", trips)
	}

	for range maxRideHops + 10 {
		tracer.Record(ids[49], FrameRead.Hop(Request, 0), began, began)
	}
	if n, s := len(tracer.Ring().HopsOf(ids[49])), tracer.Ring().Stats(); n > maxRideHops || s.Dropped == 0 {
		t.Errorf("one ride has %d hops, %d were dropped", n, s.Dropped)
	}
}

func TestRecentHopsComeInOrderAndOnce(t *testing.T) {
	tracer := newTracer(t, Config{})
	var seen uint64
	var got []int
	for round := range 3 {
		for n := range recentHops / 2 {
			h := FrameRead.Hop(Request, round*recentHops+n+1)
			tracer.Record(uuid.NewString(), h, began, began)
		}
		hops, count := tracer.Ring().Since(seen)
		seen = count
		for _, h := range hops {
			got = append(got, h.Nth)
		}
	}
	if len(got) != 3*recentHops/2 {
		t.Fatalf("%d of %d hops", len(got), 3*recentHops/2)
	}
	for i := 1; i < len(got); i++ {
		if got[i] <= got[i-1] {
			t.Fatalf("hop %d after %d", got[i], got[i-1])
		}
	}
	if hops, _ := tracer.Ring().Since(0); len(hops) != recentHops {
		t.Errorf("%d hops for who has seen none", len(hops))
	}
}

// awaitCount waits until a counter of spans has reached a number.
func awaitCount(t *testing.T, r *prometheus.Registry, outcome string, least float64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := 0.0
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "ridehail_tracing_spans_total" && m.GetLabel()[0].GetValue() == outcome {
					got = m.GetCounter().GetValue()
				}
			}
		}
		if got >= least {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v spans are %s, want %v", got, outcome, least)
		}
	}
}

func TestACollectorGetsTheTripAsATrace(t *testing.T) {
	trip := uuid.New()
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, trip[:]) && bytes.Contains(body, []byte("frame_read")) && bytes.Contains(body, []byte("node-1")) {
			got <- r.URL.Path
		}
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)

	tracer := newTracer(t, Config{})
	tracer.Record(trip.String(), FrameRead.Hop(Request, 0), began, began)
	if path := <-got; path != "/v1/traces" {
		t.Errorf("sent to %s", path)
	}
}

func TestACollectorThatIsAwayOrSlowHoldsNothingUp(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	for name, c := range map[string]struct{ url, outcome string }{
		"slow": {server.URL, "dropped"},
		"away": {"http://127.0.0.1:1", "failed"}, // perhaps so quickly that the queue never fills
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.url)
			registry := prometheus.NewRegistry()
			tracer := newTracer(t, Config{Registerer: registry})
			for range 2 * outletQueue { // would hang here if it waited
				tracer.Record(uuid.NewString(), FrameRead.Hop(Request, 0), began, began)
			}
			awaitCount(t, registry, c.outcome, 1)
			if n := testutil.CollectAndCount(registry); n == 0 {
				t.Error("no metrics")
			}
		})
	}
}

func TestWithoutATracerNothingHappens(t *testing.T) {
	none, err := New(t.Context(), Config{Ratio: 0})
	if none != nil || err != nil {
		t.Fatalf("%v, %v", none, err)
	}
	trip := uuid.NewString()
	none.Record(trip, FrameRead.Hop(Request, 0), began, began)
	none.RecordBatch([]Shared{{ID: trip}}, Statement.Hop("", 0), began, began)
	if none.Samples(trip) || none.Ring().HopsOf(trip) != nil || none.Ring().Trips(1) != nil || none.ContextOf(t.Context(), trip) != t.Context() {
		t.Error("a nil tracer records something")
	}
	if err := none.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALongFrameIsCutAtACharacter(t *testing.T) {
	for n := range 4 {
		frame := strings.Repeat("a", n) + strings.Repeat("é€", MaxFrame)
		cut := clip(frame)
		if len(cut) > MaxFrame || !strings.HasSuffix(cut, "…") || strings.ToValidUTF8(cut, "?") != cut {
			t.Errorf("%d bytes: %s", len(cut), hex.EncodeToString([]byte(cut[len(cut)-8:])))
		}
	}
}

func TestEveryKindSaysWhatItIs(t *testing.T) {
	for name, k := range kinds {
		if k.What == "" || k.Mechanism == "" || k.Wait == "" || (k.MayLose == "") != (k.MendedBy == "") && k.MendedBy != "" {
			t.Errorf("%s: %+v", name, *k)
		}
	}
}

// The cost of a hop.
func BenchmarkHop(b *testing.B) {
	var sampled, other string
	half, err := New(b.Context(), Config{Node: "node-1", Ratio: .5})
	if err != nil {
		b.Fatal(err)
	}
	for sampled == "" || other == "" {
		if id := uuid.NewString(); half.Samples(id) {
			sampled = id
		} else {
			other = id
		}
	}

	h := FrameRead.Hop(Accept, 0)
	h.From, h.Bytes, h.Cause = DriverPhone, 61, "offer:"+sampled
	for _, c := range []struct {
		name   string
		tracer *Tracer
		trip   string
	}{{"off", nil, sampled}, {"not sampled", half, other}, {"sampled", half, sampled}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.tracer.Samples(c.trip) {
					c.tracer.Record(c.trip, h, began, began.Add(time.Microsecond))
				}
			}
		})
	}
}
