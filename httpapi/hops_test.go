package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// spanKeeper keeps the spans that a collector would get.
type spanKeeper struct {
	mu    sync.Mutex
	spans []sdk.ReadOnlySpan
}

func (k *spanKeeper) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spans = append(k.spans, spans...)
	return nil
}

func (*spanKeeper) Shutdown(context.Context) error { return nil }

// newTracedAPI is an API that records the hops of a share of trips. close sends
// all spans to the collector.
func newTracedAPI(t *testing.T, ratio float64, router booking.Router) (r *testAPI, tracer *tracing.Tracer, collector *spanKeeper, close func()) {
	t.Helper()
	collector = &spanKeeper{}
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: "n1", Ratio: ratio, Exporter: collector, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	close = sync.OnceFunc(func() { _ = tracer.Close(context.Background()) })
	t.Cleanup(close)
	r = newTestAPI(t, func(c *Config, b *booking.Config) { c.Tracer, b.Tracer, b.Router = tracer, tracer, router })
	return r, tracer, collector, close
}

func names(hops []tracing.Recorded) (all []string) {
	for _, h := range hops {
		all = append(all, string(h.Phase)+" "+h.Name)
	}
	slices.Sort(all)
	return all
}

func TestASearchForAQuoteIsALookAroundOnlyIfAnotherNodeWasAsked(t *testing.T) {
	for nodes, want := range map[int]*tracing.Kind{0: tracing.CandidateSearch, 1: tracing.LookAround} {
		r, tracer, _, _ := newTracedAPI(t, 1, byAir{})
		r.api.cfg.LookAround = func(context.Context, []sharedstate.Area) int { return nodes }
		rider := trips.Rider("r")
		answer := decodeAnswer[quote](t, r.callAPI(rider, "POST", "/v1/quotes", ride), http.StatusOK)
		trip := decodeAnswer[tripJSON](t, r.callAPI(rider, "POST", "/v1/trips", fmt.Sprintf(`{"quote":%q}`, answer.Quote), "Idempotency-Key", "k"), http.StatusCreated)
		found := 0
		for _, h := range tracer.Ring().HopsOf(trip.ID) {
			if h.Name == tracing.CandidateSearch.Name || h.Name == tracing.LookAround.Name {
				found++
				if h.Name != want.Name || h.Mechanism != want.Mechanism {
					t.Errorf("%d other nodes asked: %s over %s", nodes, h.Name, h.Mechanism)
				}
			}
		}
		if found != 1 {
			t.Errorf("%d searches recorded", found)
		}
	}
}

// asked keeps the contexts of the router's callers.
type asked struct {
	byAir
	mu       sync.Mutex
	contexts []trace.SpanContext
}

func (a *asked) Route(ctx context.Context, from, to location.Point) (routing.Route, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.contexts = append(a.contexts, trace.SpanContextFromContext(ctx))
	return a.byAir.Route(ctx, from, to)
}

func TestAQuoteAndItsTripAreOneRideInTheRing(t *testing.T) {
	router := &asked{}
	r, tracer, _, _ := newTracedAPI(t, 1, router)
	r.placeDriver("d", market)
	rider := trips.Rider("r")
	answer := decodeAnswer[quote](t, r.callAPI(rider, "POST", "/v1/quotes", ride), http.StatusOK)
	trip := decodeAnswer[tripJSON](t, r.callAPI(rider, "POST", "/v1/trips", fmt.Sprintf(`{"quote":%q}`, answer.Quote), "Idempotency-Key", "k"), http.StatusCreated)
	if w := r.callAPI(rider, "POST", "/v1/trips/"+trip.ID+"/cancel", "", "Idempotency-Key", "c"); w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}

	hops := tracer.Ring().HopsOf(trip.ID)
	want := []string{"cancel http_read", "cancel http_written", "quote candidates", "quote pickup_call", "quote quote_read", "quote quote_written",
		"quote route_call", "quote surge_read", "request http_read", "request http_written"}
	if got := names(hops); !slices.Equal(got, want) {
		t.Errorf("hops %q, want %q", got, want)
	}

	quoteTrace := ""
	for _, h := range hops {
		switch h.Name {
		case "quote_read":
			quoteTrace = h.Trace
			if h.Key != tracing.RootKey || h.Bytes != len(ride) {
				t.Errorf("the quote's root: %+v", h)
			}
		case "quote_written":
			if strings.Contains(h.Frame, answer.Quote) || !strings.Contains(h.Frame, `"fare"`) || h.Bytes == 0 {
				t.Errorf("the quote's answer: %+v", h)
			}
		case "http_written":
			if !strings.HasPrefix(h.Cause, "command:") || !strings.Contains(h.Frame, trip.ID) || h.To != tracing.RiderPhone {
				t.Errorf("the command's answer: %+v", h)
			}
		}
	}
	for _, c := range router.contexts {
		if c.TraceID().String() != quoteTrace || !c.IsSampled() {
			t.Errorf("a call of routing is in trace %s, the quote in %s", c.TraceID(), quoteTrace)
		}
	}
}

func TestARequestWithoutAQuoteHasItsRouteCall(t *testing.T) {
	r, tracer, _, _ := newTracedAPI(t, 1, byAir{})
	trip := r.requestTrip("r", "k")
	want := []string{"request http_read", "request http_written", "request route_call"}
	if got := names(tracer.Ring().HopsOf(trip.ID)); !slices.Equal(got, want) {
		t.Errorf("hops %q, want %q", got, want)
	}
}

func TestAStrangersCommandIsNoHopOfTheTrip(t *testing.T) {
	r, tracer, _, _ := newTracedAPI(t, 1, byAir{})
	trip := r.requestTrip("r", "k")
	before := len(tracer.Ring().HopsOf(trip.ID))
	if w := r.callAPI(trips.Rider("stranger"), "POST", "/v1/trips/"+trip.ID+"/cancel", "", "Idempotency-Key", "c"); w.Code == http.StatusOK {
		t.Fatal("a stranger cancelled a trip")
	}
	if after := len(tracer.Ring().HopsOf(trip.ID)); after != before {
		t.Errorf("%d hops became %d", before, after)
	}
}

// A client that says that its trace is sampled could else have any number of
// spans made, and any trace joined.
func TestAStrangersTraceparentIsLinkedAndNeverObeyed(t *testing.T) {
	theirs := strings.ReplaceAll(uuid.NewString(), "-", "")
	header := "00-" + theirs + "-00f067aa0ba902b7-01"
	for ratio, wantSpans := range map[float64]int{1: 1, 1e-12: 0} {
		r, _, collector, closeTracer := newTracedAPI(t, ratio, byAir{})
		if w := r.callAPI(trips.Rider("r"), "GET", "/v1/trips", "", "Traceparent", header); w.Code != http.StatusOK {
			t.Fatal(w.Code, w.Body)
		}
		closeTracer()

		if len(collector.spans) != wantSpans {
			t.Fatalf("%d spans at a share of %v", len(collector.spans), ratio)
		}
		for _, s := range collector.spans {
			if s.SpanContext().TraceID().String() == theirs || s.Parent().IsValid() || s.Name() != "GET /v1/trips" {
				t.Errorf("span %s in trace %s with parent %v", s.Name(), s.SpanContext().TraceID(), s.Parent())
			}
			if links := s.Links(); len(links) != 1 || links[0].SpanContext.TraceID().String() != theirs {
				t.Errorf("links %+v", links)
			}
		}
	}
}

func TestATripThatIsNotSampledLeavesNoHopAndNoHeader(t *testing.T) {
	router := &asked{}
	r, tracer, _, _ := newTracedAPI(t, 1e-12, router)
	trip := r.requestTrip("r", "k")
	if hops := tracer.Ring().HopsOf(trip.ID); len(hops) != 0 {
		t.Errorf("hops %+v", hops)
	}
	for _, c := range router.contexts {
		if c.IsSampled() {
			t.Error("routing is asked within a sampled trace")
		}
	}
}
