// Package tracing records the hops of rides as OpenTelemetry spans. A trip's id
// is its trace id, and whether it is sampled follows from that id, so that every
// part of every node adds spans to a trip without a header travelling. The spans
// go to a ring in memory, from which package xray tells a ride, and to a
// collector if one is configured.
package tracing

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config is what a Tracer is built from.
type Config struct {
	Node  string  // names this node in every span
	Ratio float64 // share of trips that are recorded, 0 to 1
	// RingBytes bounds the rides that are kept; 0: DefaultRingBytes.
	RingBytes int
	// Exporter gets the spans besides the ring; nil: the collector that the
	// environment names, if it names one.
	Exporter   sdk.SpanExporter
	Registerer prometheus.Registerer // nil: metrics are not registered
	Now        func() time.Time      // the node's clock
	Log        *slog.Logger          // nil: slog.Default
}

// DefaultRingBytes is the size of the ring.
const DefaultRingBytes = 16 << 20

// Tracer records hops. A nil Tracer records nothing. Its methods may be called
// from any goroutine and never wait for a collector.
type Tracer struct {
	// Fixed at creation.
	node      string
	threshold threshold
	ring      *Ring
	provider  *sdk.TracerProvider
	tracer    trace.Tracer
	now       func() time.Time
	module    string // path of this module's folder, with a slash
}

// New returns a tracer, or nil when nothing is to be recorded. The caller must
// Close it.
func New(ctx context.Context, cfg Config) (*Tracer, error) {
	if !(cfg.Ratio > 0) {
		return nil, nil
	}

	if cfg.Exporter == nil && namesCollector() {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, err
		}
		cfg.Exporter = exporter
	}

	t := &Tracer{node: cfg.Node, threshold: newThreshold(cfg.Ratio), ring: newRing(cfg.Node, cfg.RingBytes), now: cfg.Now}
	options := []sdk.TracerProviderOption{sdk.WithIDGenerator(idGenerator{}), sdk.WithSampler(sampler{t.threshold}),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "ridehail"), attribute.String("service.instance.id", cfg.Node))),
		sdk.WithSpanProcessor(t.ring)}
	if cfg.Exporter != nil {
		options = append(options, sdk.WithSpanProcessor(newOutlet(cfg.Exporter, cfg.Registerer, cmp.Or(cfg.Log, slog.Default()))))
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(ringCollector{t.ring})
	}

	t.provider = sdk.NewTracerProvider(options...)
	t.tracer = t.provider.Tracer("github.com/ridehail/ridehail")
	_, file, _, _ := runtime.Caller(0)
	t.module = strings.TrimSuffix(file, "tracing/tracing.go")
	return t, nil
}

func namesCollector() bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Close sends what is left to the collector, for as long as ctx lasts.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.provider.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // a collector that is away is no error of ours
	}
	return err
}

// Provider is for libraries that make spans of their own. It may be called on a
// nil Tracer, and then returns nil.
func (t *Tracer) Provider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// Ring returns the rides that are kept; nil for a nil Tracer.
func (t *Tracer) Ring() *Ring {
	if t == nil {
		return nil
	}
	return t.ring
}

// Samples reports whether the hops of a trip, or of a quote, are recorded. It
// compares a few digits of the id.
func (t *Tracer) Samples(id string) bool { return t != nil && t.threshold.admitsText(id) }

// Now is the node's clock, for parts that have none. For a nil Tracer it is zero.
func (t *Tracer) Now() time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.now()
}

// ContextOf returns a context whose spans, made by libraries, belong to a trip
// or a quote. It returns ctx itself for one that is not sampled.
func (t *Tracer) ContextOf(ctx context.Context, id string) context.Context {
	if !t.Samples(id) {
		return ctx
	}
	traceID, ok := traceIDOf(id)
	if !ok {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, rootOf(traceID))
}

// Hop is one step of a ride. Kind.Hop makes one.
type Hop struct {
	*Kind
	Phase Phase
	Nth   int // of several of its phase, from 1; 0: there is one
	// From and To are those of the kind unless it leaves them open.
	From, To Part
	Bytes    int // of the message; 0: unknown or none
	Batch    int // how many messages or trips shared it; 0 and 1: it was alone

	// Key names this hop within its trip, so that a hop on another node can be
	// said to come from it; empty: no one needs to.
	Key string
	// Cause is the key of the hop that this one comes from.
	Cause string

	// Code and Reason say what failed, or what kind of end it was; IsFailure
	// tells which.
	Code, Reason string
	IsFailure    bool
	Frame        string // the message as JSON, for people; at most MaxFrame bytes
}

// MaxFrame bounds Hop.Frame. A longer one is cut.
const MaxFrame = 1024

// Record records a hop of a trip, or of a quote, that began and ended by this
// node's clock. It does nothing for one that is not sampled: callers test
// Samples first only to save themselves work.
func (t *Tracer) Record(id string, h Hop, began, ended time.Time) {
	if !t.Samples(id) {
		return
	}
	traceID, ok := traceIDOf(id)
	if !ok {
		return
	}

	c := chosen{trace: traceID}
	if h.Key != "" {
		c.span = spanIDOf(traceID, h.Key)
	}
	ctx := withChosen(context.Background(), c)
	if h.Key != RootKey {
		ctx = trace.ContextWithRemoteSpanContext(ctx, rootOf(traceID))
	}
	var links []trace.Link
	if h.Cause != "" {
		links = append(links, trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID,
			SpanID: spanIDOf(traceID, h.Cause), TraceFlags: trace.FlagsSampled, Remote: true})})
	}
	t.record(ctx, h, links, began, ended)
}

// Shared is one of the trips of a batch, and what the hop is for this trip.
type Shared struct {
	ID    string // of the trip
	Phase Phase
	Nth   int

	// Key and Cause are those of Hop.
	Key, Cause string
}

// RecordBatch records one hop that several trips shared, as one span with a link
// to each sampled trip. h.Batch is set to their number if it is 0. The hop's own
// phase and key do not count, and its cause only where a trip has none. It does nothing if no trip is sampled.
func (t *Tracer) RecordBatch(shared []Shared, h Hop, began, ended time.Time) {
	if t == nil {
		return
	}
	var links []trace.Link
	for _, s := range shared {
		if !t.Samples(s.ID) {
			continue
		}
		if traceID, ok := traceIDOf(s.ID); ok {
			links = append(links, trace.Link{SpanContext: rootOf(traceID), Attributes: s.attributes()})
		}
	}
	if len(links) == 0 {
		return
	}
	if h.Batch == 0 {
		h.Batch = len(shared)
	}
	t.record(withChosen(context.Background(), chosen{}), h, links, began, ended)
}

// record makes the span. Its caller's caller is the source line of the hop.
func (t *Tracer) record(ctx context.Context, h Hop, links []trace.Link, began, ended time.Time) {
	if ended.Before(began) {
		ended = began // two clocks: package xray tells the doubt
	}
	_, span := t.tracer.Start(ctx, h.Name, trace.WithTimestamp(began), trace.WithSpanKind(h.spanKind()),
		trace.WithAttributes(append(h.attributes(), attribute.String(attrSource, t.sourceLine()))...), trace.WithLinks(links...))
	if h.IsFailure {
		span.SetStatus(codes.Error, h.Reason)
	}
	span.End(trace.WithTimestamp(ended))
}

// sourceLine returns the place in this module that called Record or
// RecordBatch.
func (t *Tracer) sourceLine() string {
	_, file, line, ok := runtime.Caller(3)
	if !ok {
		return ""
	}
	return strings.TrimPrefix(file, t.module) + ":" + strconv.Itoa(line)
}
