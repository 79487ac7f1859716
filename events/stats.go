package events

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"
)

// metrics are the metrics of one Redis. They work without a registry too.
type metrics struct {
	published, publishedBytes         *prometheus.CounterVec
	gaps, dropped, overwritten, jobs  *prometheus.CounterVec
	publishFailed                     *prometheus.CounterVec
	handled                           prometheus.Counter
	relayedMessages                   *prometheus.CounterVec // by topic and outcome
	jobsAdded, jobRuns                *prometheus.CounterVec
	relayed                           prometheus.Counter
	relayFailed                       *prometheus.CounterVec
	relayDelay                        prometheus.Histogram
	relayLag, relayHolder, nodesAlive prometheus.Gauge

	// The bytes of all connections, without those of TLS.
	bytesIn, bytesOut prometheus.Counter
	heard             map[string]channelMetrics // by kind of channel; fixed
}

// channelMetrics count the messages of channels of one kind, and the bytes of
// their names and contents.
type channelMetrics struct{ messages, bytes prometheus.Counter }

// channelKinds are what channels' names begin with.
var channelKinds = []string{"node", "user", "region", "positions", "car", "echo"}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counters := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_" + name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_" + name, Help: help})
	}
	redisBytes := counters("redis_bytes_total", "Bytes to and from Redis over all connections, by direction.", "direction")
	heardMessages := counters("events_received_total", "Messages received, by kind of channel.", "channel")
	heardBytes := counters("events_received_bytes_total", "Bytes of messages received, by kind of channel.", "channel")
	m := &metrics{
		bytesIn: redisBytes.WithLabelValues("received"), bytesOut: redisBytes.WithLabelValues("sent"),
		heard:          map[string]channelMetrics{},
		published:      counters("events_published_total", "Messages published, by topic.", "topic"),
		publishedBytes: counters("events_published_bytes_total", "Bytes of messages published, by topic.", "topic"),
		publishFailed:  counters("events_publish_failed_total", "Messages that Redis did not take and that are not published again, by topic.", "topic"),
		handled: f.NewCounter(prometheus.CounterOpts{Name: "ridehail_events_handled_total",
			Help: "Messages that a listener handed on."}),
		relayedMessages: f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_relay_messages_total",
			Help: "Outbox messages that Redis took, by topic and outcome: at once, after_outage if Redis took nothing when they came, or repeated if they must be published again."},
			[]string{"topic", "outcome"}),
		jobsAdded: counters("jobs_added_total", "Jobs that this node added, by stream.", "stream"),
		jobRuns: f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_job_runs_total",
			Help: "Deliveries of jobs to this node, by stream and outcome: done at the first or at a later delivery (done_later), failed and to come back, or dead."},
			[]string{"stream", "outcome"}),
		gaps:        counters("events_gaps_total", "Times a listener may have missed messages, by cause.", "cause"),
		dropped:     counters("events_dropped_total", "Messages not handed on, by reason.", "reason"),
		overwritten: counters("events_overwritten_total", "Messages that a newer one of their channel replaced, by road.", "road"),
		jobs:        counters("jobs_total", "Jobs of queues, by outcome.", "outcome"),
		relayed: f.NewCounter(prometheus.CounterOpts{Name: "ridehail_relay_notices_total",
			Help: "Outbox notices handed to Redis."}),
		relayFailed: counters("relay_failures_total", "Turns of the relay that failed, by place.", "place"),
		relayDelay: f.NewHistogram(prometheus.HistogramOpts{Name: "ridehail_relay_delay_seconds",
			Help: "From a notice's commit to its publishing.", Buckets: prometheus.ExponentialBuckets(.0005, 2, 16)}),
		relayLag:    gauge("relay_lag_seconds", "Age of the oldest notice that waits for the relay; 0 when none does."),
		relayHolder: gauge("relay_holder", "Shards of the outbox that this node relays."),
		nodesAlive:  gauge("members_alive", "Nodes that this node believes alive."),
	}
	for _, kind := range channelKinds {
		m.heard[kind] = channelMetrics{heardMessages.WithLabelValues(kind), heardBytes.WithLabelValues(kind)}
	}
	return m
}

// countReceived counts a message of so many bytes that came on a channel. It
// allocates nothing.
func (m *metrics) countReceived(channel Channel, bytes int) {
	kind, _, _ := strings.Cut(string(channel), ":")
	if c, ok := m.heard[kind]; ok {
		c.messages.Inc()
		c.bytes.Add(float64(len(channel) + bytes))
	}
}

// registerCommands shows how many commands were sent, without those that
// subscribe.
func registerCommands(reg prometheus.Registerer, s *sessions) {
	promauto.With(reg).NewCounterFunc(prometheus.CounterOpts{Name: "ridehail_redis_commands_total",
		Help: "Commands sent to Redis, those of pipelines included and subscriptions not."},
		func() float64 { return float64(s.commands.Load()) })
}

// countedConn counts the bytes of a connection.
type countedConn struct {
	net.Conn
	metrics *metrics
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.metrics.bytesIn.Add(float64(n))
	return n, err
}

func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.metrics.bytesOut.Add(float64(n))
	return n, err
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
