package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics is everything the gateway counts. Whatever is dropped is counted in drops under a named reason.
type metrics struct {
	updates     *prometheus.CounterVec // drivers' fixes by result: "accepted" or the reason they were refused
	accepted    prometheus.Counter     // of updates, for the hot path
	sent        prometheus.Counter     // positions written to riders
	overwritten prometheus.Counter     // positions a rider never saw because a newer one came first
	drops       *prometheus.CounterVec // by reason
	sessions    *prometheus.GaugeVec   // by role
	commands    *prometheus.CounterVec // by kind and code; "ok" when done
	hop         prometheus.Histogram   // seconds from reading a fix to writing it to a rider
	http        *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_gateway_" + name, Help: help}, labels)
	}
	m := &metrics{
		updates: counter("updates_total", "Driver fixes by result: accepted, or why refused.", "result"),
		sent: f.NewCounter(prometheus.CounterOpts{Name: "ridehail_gateway_positions_sent_total",
			Help: "Positions written to riders."}),
		overwritten: f.NewCounter(prometheus.CounterOpts{Name: "ridehail_gateway_positions_overwritten_total",
			Help: "Positions replaced by a newer one before they were sent."}),
		drops: counter("drops_total", "Messages dropped, by reason.", "reason"),
		sessions: f.NewGaugeVec(prometheus.GaugeOpts{Name: "ridehail_gateway_sessions",
			Help: "Authenticated sockets by role."}, []string{"role"}),
		commands: counter("commands_total", "Commands by kind and code of their answer.", "kind", "code"),
		hop: f.NewHistogram(prometheus.HistogramOpts{Name: "ridehail_gateway_hop_seconds",
			Help:    "From reading a driver's fix to writing it to a rider's socket.",
			Buckets: []float64{2e-5, 5e-5, 1e-4, 2e-4, 5e-4, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}}),
		http: f.NewHistogramVec(prometheus.HistogramOpts{Name: "ridehail_gateway_http_seconds",
			Help: "HTTP requests by route, method and status.", Buckets: prometheus.DefBuckets}, []string{"route", "method", "status"}),
	}
	m.accepted = m.updates.WithLabelValues("accepted")
	return m
}
