package routing

import (
	"context"
	"net/http"
	"sync"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestACallOfASampledTripIsOneTraceOnBothEnds(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	defer func() { _ = provider.Shutdown(context.Background()) }()

	var mu sync.Mutex
	var headers []string
	handler := NewHandler(NewRouter(builtInCity()), WithTracing(provider))
	opts := patient
	opts.Tracing = provider
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		headers = append(headers, r.Header.Get("Traceparent"))
		mu.Unlock()
		handler.ServeHTTP(w, r)
	}), opts)

	from, to := twoPlaces()
	if _, err := c.Route(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	unsampled := len(spans.Ended())
	trip := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	if _, err := c.Route(trace.ContextWithRemoteSpanContext(t.Context(), trip), from, to); err != nil {
		t.Fatal(err)
	}

	ended := spans.Ended()[unsampled:]
	if len(ended) != 2 || headers[0] != "" || headers[1] == "" {
		t.Fatalf("%d spans, headers %q", len(ended), headers)
	}
	server, client := ended[0], ended[1] // the caller's ends last
	if server.SpanKind() != trace.SpanKindServer || server.Parent().SpanID() != client.SpanContext().SpanID() ||
		client.Parent().SpanID() != trip.SpanID() || server.SpanContext().TraceID() != trip.TraceID() {
		t.Errorf("server %+v\nclient %+v", server, client)
	}
}
