package dispatch

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what a Dispatcher counts.
type metrics struct {
	offers          *prometheus.CounterVec   // By outcome.
	droppedSignals  *prometheus.CounterVec   // By reason; the scan makes up.
	searches        *prometheus.HistogramVec // Seconds here, by outcome.
	toReserve       prometheus.Histogram     // Seconds from the request.
	windowTrips     prometheus.Histogram     // Trips in a window.
	runningSearches prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) metrics {
	f := promauto.With(r)
	seconds := []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60, 120, 180, 300}
	return metrics{
		offers: f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_dispatch_offers_total",
			Help: "Offers by what became of them: made, accepted, declined, expired, withdrawn, unreachable, driver_gone."}, []string{"outcome"}),
		droppedSignals: f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_dispatch_dropped_total",
			Help: "Hints and news not taken in, by reason; the scan of the store heals them."}, []string{"reason"}),
		searches: f.NewHistogramVec(prometheus.HistogramOpts{Name: "ridehail_dispatch_search_seconds",
			Help: "How long searches ran on this node, by how they ended.", Buckets: seconds}, []string{"outcome"}),
		toReserve: f.NewHistogram(prometheus.HistogramOpts{Name: "ridehail_dispatch_time_to_reserve_seconds",
			Help: "From the request to the reservation.", Buckets: seconds}),
		windowTrips: f.NewHistogram(prometheus.HistogramOpts{Name: "ridehail_dispatch_window_trips",
			Help: "Trips that were matched together in one window.", Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}}),
		runningSearches: f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_dispatch_searches", Help: "Searches running on this node."}),
	}
}
