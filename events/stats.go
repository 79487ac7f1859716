package events

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"
)

// metrics are the metrics of one Redis. They work without a registry too.
type metrics struct {
	published, publishedBytes         *prometheus.CounterVec
	received, receivedBytes           *prometheus.CounterVec
	gaps, dropped, overwritten, jobs  *prometheus.CounterVec
	relayed                           prometheus.Counter
	relayFailed                       *prometheus.CounterVec
	relayDelay                        prometheus.Histogram
	relayLag, relayHolder, nodesAlive prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counters := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_" + name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_" + name, Help: help})
	}
	return &metrics{
		published:      counters("events_published_total", "Messages published, by topic.", "topic"),
		publishedBytes: counters("events_published_bytes_total", "Bytes of messages published, by topic.", "topic"),
		received:       counters("events_received_total", "Messages received, echoes included, by road.", "road"),
		receivedBytes:  counters("events_received_bytes_total", "Bytes of messages received, by road.", "road"),
		gaps:           counters("events_gaps_total", "Times a listener may have missed messages, by cause.", "cause"),
		dropped:        counters("events_dropped_total", "Messages not handed on, by reason.", "reason"),
		overwritten:    counters("events_overwritten_total", "Messages that a newer one of their channel replaced, by road.", "road"),
		jobs:           counters("jobs_total", "Jobs of queues, by outcome.", "outcome"),
		relayed: f.NewCounter(prometheus.CounterOpts{Name: "ridehail_relay_notices_total",
			Help: "Outbox notices handed to Redis."}),
		relayFailed: counters("relay_failures_total", "Turns of the relay that failed, by place.", "place"),
		relayDelay: f.NewHistogram(prometheus.HistogramOpts{Name: "ridehail_relay_delay_seconds",
			Help: "From a notice's commit to its publishing.", Buckets: prometheus.ExponentialBuckets(.0005, 2, 16)}),
		relayLag:    gauge("relay_lag_seconds", "Age of the oldest notice that waits for the relay; 0 when none does."),
		relayHolder: gauge("relay_holder", "1 while this node holds the relay's lease."),
		nodesAlive:  gauge("members_alive", "Nodes that this node believes alive."),
	}
}

// countPublished counts a message that Redis took.
func (m *metrics) countPublished(msg Message) {
	m.published.WithLabelValues(msg.Topic).Inc()
	m.publishedBytes.WithLabelValues(msg.Topic).Add(float64(msg.size()))
}

// redirectLibraryLog sends what go-redis logs about its connections to slog at
// debug level. What matters also comes back as an error or a gap.
var redirectLibraryLog = sync.OnceFunc(func() { redis.SetLogger(libraryLog{}) })

type libraryLog struct{}

func (libraryLog) Printf(ctx context.Context, format string, v ...any) {
	slog.DebugContext(ctx, "redis client", "says", fmt.Sprintf(format, v...))
}
