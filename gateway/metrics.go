package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics is everything the gateway counts. What was meant for phones is in
// delivery; what came from them, or from other nodes, and was not taken is in
// drops under a named reason.
type metrics struct {
	updates  *prometheus.CounterVec // fixes, by "accepted" or why refused
	accepted prometheus.Counter     // of updates, for the hot path
	delivery *deliveryMetrics       // of what was sent to phones
	drops    *prometheus.CounterVec // by reason
	sessions *prometheus.GaugeVec   // by role
	commands *prometheus.CounterVec // by kind and code; "ok" when done
	hop      prometheus.Histogram   // seconds from reading a fix to writing it
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_gateway_" + name, Help: help}, labels)
	}
	m := &metrics{
		updates:  counter("updates_total", "Driver fixes by result: accepted, or why refused.", "result"),
		delivery: newDeliveryMetrics(r),
		drops:    counter("drops_total", "What phones and nodes sent and was refused, by reason.", "reason"),
		sessions: f.NewGaugeVec(prometheus.GaugeOpts{Name: "ridehail_gateway_sessions",
			Help: "Authenticated sockets by role."}, []string{"role"}),
		commands: counter("commands_total", "Commands by kind and code of their answer.", "kind", "code"),
		hop: f.NewHistogram(prometheus.HistogramOpts{Name: "ridehail_gateway_hop_seconds",
			Help:    "From reading a driver's fix to writing it to a rider's socket.",
			Buckets: []float64{2e-5, 5e-5, 1e-4, 2e-4, 5e-4, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}}),
	}

	m.accepted = m.updates.WithLabelValues("accepted")
	return m
}
