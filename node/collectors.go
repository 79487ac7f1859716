package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/store"
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

// poolCollector shows the connections to Postgres, and how long callers waited
// for one.
type poolCollector struct{ store store.Pooled }

var (
	poolDesc = prometheus.NewDesc("ridehail_database_connections",
		"Connections to Postgres, by state: idle or acquired, total of both and of those being opened, and max.", []string{"state"}, nil)
	poolWaitsDesc = prometheus.NewDesc("ridehail_database_waits_total",
		"Times a caller waited for a connection to Postgres, because none was idle.", nil, nil)
	poolWaitedDesc = prometheus.NewDesc("ridehail_database_wait_seconds_total",
		"Seconds that callers waited for a connection to Postgres.", nil, nil)
)

func (c poolCollector) Describe(out chan<- *prometheus.Desc) {
	out <- poolDesc
	out <- poolWaitsDesc
	out <- poolWaitedDesc
}

func (c poolCollector) Collect(out chan<- prometheus.Metric) {
	s := c.store.PoolStats()
	for state, n := range map[string]int{"total": s.Total, "idle": s.Idle, "acquired": s.Acquired, "max": s.Max} {
		out <- prometheus.MustNewConstMetric(poolDesc, prometheus.GaugeValue, float64(n), state)
	}
	out <- prometheus.MustNewConstMetric(poolWaitsDesc, prometheus.CounterValue, float64(s.Waits))
	out <- prometheus.MustNewConstMetric(poolWaitedDesc, prometheus.CounterValue, s.WaitedFor.Seconds())
}
