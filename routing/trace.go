package routing

import (
	"context"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceCalls makes a client's option that adds a span to each call whose context
// belongs to a sampled trace, and tells the service in the header traceparent.
func traceCalls(spans trace.TracerProvider) connect.Option {
	return interceptSpans(spans, otelconnect.WithFilter(func(ctx context.Context, _ connect.Spec) bool {
		return trace.SpanContextFromContext(ctx).IsSampled()
	}))
}

// traceAnswers makes a handler's option that adds a span to each call. A caller
// is a node, so that its trace is continued and not only linked.
func traceAnswers(spans trace.TracerProvider) connect.Option {
	return interceptSpans(spans, otelconnect.WithTrustRemote())
}

// interceptSpans makes an option that does nothing without a provider. The
// service has metrics of its own.
func interceptSpans(spans trace.TracerProvider, more otelconnect.Option) connect.Option {
	if spans == nil {
		return connect.WithOptions()
	}
	made, err := otelconnect.NewInterceptor(otelconnect.WithTracerProvider(spans), otelconnect.WithPropagator(propagation.TraceContext{}),
		otelconnect.WithoutMetrics(), otelconnect.WithoutTraceEvents(), more)
	if err != nil {
		return connect.WithOptions() // only instruments of metrics can fail
	}
	return connect.WithInterceptors(made)
}
