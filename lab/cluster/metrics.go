package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ridehail/ridehail/lab/process"
)

// sample is what a node's metrics said at a moment.
type sample struct {
	cpu                 float64 // seconds
	redisIn, redisOut   float64 // bytes from and to Redis
	commands            float64 // sent to Redis
	received, published float64 // messages
	drivers, goroutines float64
	memory              float64 // bytes
	offers, fixes       float64
	receivedBy          map[string]float64 // bytes by kind of channel
	messagesBy          map[string]float64
}

// readSample reads the metrics of a node's admin API.
func readSample(ctx context.Context, admin string) (s sample, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		return s, err
	}
	res, err := process.FreshHTTP.Do(req)
	if err != nil {
		return s, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return s, fmt.Errorf("metrics of %s: %w", admin, err)
	}

	// sum adds up the values of a metric, or of those with a label's value.
	sum := func(name, label, value string) (total float64) {
		for _, m := range families[name].GetMetric() {
			chosen := label == ""
			for _, l := range m.GetLabel() {
				chosen = chosen || l.GetName() == label && l.GetValue() == value
			}
			if chosen {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		return total
	}

	s = sample{cpu: sum("process_cpu_seconds_total", "", ""),
		redisIn:    sum("ridehail_redis_bytes_total", "direction", "received"),
		redisOut:   sum("ridehail_redis_bytes_total", "direction", "sent"),
		commands:   sum("ridehail_redis_commands_total", "", ""),
		received:   sum("ridehail_events_received_total", "", ""),
		published:  sum("ridehail_events_published_total", "", ""),
		drivers:    sum("ridehail_drivers", "", ""),
		goroutines: sum("go_goroutines", "", ""), memory: sum("process_resident_memory_bytes", "", ""),
		offers:     sum("ridehail_dispatch_offers_total", "outcome", "made"),
		fixes:      sum("ridehail_gateway_updates_total", "result", "accepted"),
		receivedBy: map[string]float64{}, messagesBy: map[string]float64{}}
	for name, by := range map[string]map[string]float64{"ridehail_events_received_bytes_total": s.receivedBy, "ridehail_events_received_total": s.messagesBy} {
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				by[l.GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	return s, nil
}
