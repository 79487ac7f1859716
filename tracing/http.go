package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Propagator writes and reads the header traceparent of W3C Trace Context, and
// nothing else.
var Propagator propagation.TextMapPropagator = propagation.TraceContext{}

// IsSampled reports whether a context belongs to a trace that is recorded, as
// one of ContextOf may.
func IsSampled(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsSampled() }

// Transport returns a transport that makes a span of each request whose context
// is of a sampled trip (ContextOf), and sends it along in the header
// traceparent. Other requests it leaves alone. A nil Tracer returns base.
func (t *Tracer) Transport(base http.RoundTripper) http.RoundTripper {
	if t == nil {
		return base
	}
	return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(Propagator),
		otelhttp.WithFilter(func(r *http.Request) bool { return IsSampled(r.Context()) }))
}

// Handler returns a handler that makes a span of a request, in a trace of its
// own. The traceparent of a client is linked: it neither becomes the parent nor
// decides what is sampled. The route names the span, after the method. A nil
// Tracer returns next.
func (t *Tracer) Handler(route string, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	isPublic := func(*http.Request) bool { return true }
	return otelhttp.NewHandler(next, route, otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(Propagator),
		otelhttp.WithPublicEndpointFn(isPublic), otelhttp.WithSpanNameFormatter(spanNameOf))
}

// spanNameOf returns the name of a request's span. Methods that HTTP does not
// define share one, as the semantic conventions say.
func spanNameOf(route string, r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method + " " + route
	}
	return "HTTP " + route
}
