package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	outletQueue = 4096
	exportEvery = time.Second
	// exportWithin is how long a collector may take for a batch.
	exportWithin = 5 * time.Second
)

// outlet sends spans to a collector from a goroutine of the library. When the
// collector is away or slow, and too many wait, further ones are dropped and
// counted: OnEnd never waits.
type outlet struct {
	sdk.SpanProcessor
	log                     *slog.Logger
	isAway                  atomic.Bool // the collector did not take the last batch
	waiting                 atomic.Int64
	sent, failed, discarded prometheus.Counter
}

func newOutlet(to sdk.SpanExporter, r prometheus.Registerer, log *slog.Logger) *outlet {
	vec := promauto.With(r).NewCounterVec(prometheus.CounterOpts{Name: "ridehail_tracing_spans_total",
		Help: "Spans for the collector: sent, failed (it did not take them), dropped (too many waited)."}, []string{"outcome"})
	o := &outlet{log: log, sent: vec.WithLabelValues("sent"), failed: vec.WithLabelValues("failed"), discarded: vec.WithLabelValues("dropped")}
	o.SpanProcessor = sdk.NewBatchSpanProcessor(countingExporter{to, o}, sdk.WithMaxQueueSize(2*outletQueue),
		sdk.WithBatchTimeout(exportEvery), sdk.WithExportTimeout(exportWithin))
	return o
}

// OnEnd hands a span over, or drops it.
func (o *outlet) OnEnd(s sdk.ReadOnlySpan) {
	if o.waiting.Add(1) > outletQueue {
		o.waiting.Add(-1)
		o.discarded.Inc()
		return
	}
	o.SpanProcessor.OnEnd(s)
}

// countingExporter counts what became of the spans, and logs once when the
// collector is away and when it is back.
type countingExporter struct {
	sdk.SpanExporter
	outlet *outlet
}

func (e countingExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.outlet.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.outlet.failed.Add(float64(len(spans)))
	} else {
		e.outlet.sent.Add(float64(len(spans)))
	}

	switch was := e.outlet.isAway.Swap(err != nil); {
	case err != nil && !was:
		e.outlet.log.Warn("the collector takes no spans; rides are not held up, and what does not fit is dropped", "err", err)
	case err == nil && was:
		e.outlet.log.Info("the collector takes spans again")
	}
	return nil // the library would log it each time
}
