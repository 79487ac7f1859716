package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
)

// driversCollector counts the drivers when it is asked, instead of keeping
// count.
type driversCollector struct{ drivers *sharedstate.Drivers }

var driversDesc = prometheus.NewDesc("ridehail_drivers", "Drivers known to this node, by status.", []string{"status"}, nil)

func (c driversCollector) Describe(out chan<- *prometheus.Desc) { out <- driversDesc }

func (c driversCollector) Collect(out chan<- prometheus.Metric) {
	for status, n := range c.drivers.Counts().Status {
		out <- prometheus.MustNewConstMetric(driversDesc, prometheus.GaugeValue, float64(n), string(status))
	}
}

// routingCollector shows how the routing service fares.
type routingCollector struct{ routes *routing.Client }

var routingDesc = prometheus.NewDesc("ridehail_routing_calls_total", "Calls of the routing service, by how they ended.", []string{"result"}, nil)

func (c routingCollector) Describe(out chan<- *prometheus.Desc) { out <- routingDesc }

func (c routingCollector) Collect(out chan<- prometheus.Metric) {
	s := c.routes.Stats()
	for result, n := range map[string]uint64{"road": s.Road, "straight_line": s.Straight, "retried": s.Retries,
		"failed": s.Failures, "implausible": s.Lies, "skipped": s.Skipped} {
		out <- prometheus.MustNewConstMetric(routingDesc, prometheus.CounterValue, float64(n), result)
	}
}
