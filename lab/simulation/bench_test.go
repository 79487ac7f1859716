package simulation

import (
	"fmt"
	"testing"

	"github.com/ridehail/ridehail/dispatch"
)

// BenchmarkCity runs twenty minutes of an evening in the built-in city. The
// figure is how many seconds of the city pass in one of ours, on one processor:
// above 1 is faster than real time.
func BenchmarkCity(b *testing.B) {
	for _, policy := range []string{dispatch.GreedyPolicy, dispatch.BatchedPolicy} {
		for _, size := range []struct {
			drivers int
			perHour float64
		}{{1000, 2000}, {10_000, 20_000}, {100_000, 150_000}, {100_000, 300_000}} {
			b.Run(fmt.Sprintf("policy=%s/drivers=%d/riders=%.0f", policy, size.drivers, size.perHour), func(b *testing.B) {
				cfg := Config{City: builtInCity(b), Policy: policy, Seed: 1, Drivers: size.drivers, RidersPerHour: size.perHour, Hours: 1. / 3,
					Begin: 17, Surge: true}
				for b.Loop() {
					r, err := Run(b.Context(), cfg)
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(r.Requests), "requests")
				}

				b.ReportMetric(cfg.duration().Seconds()*float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
			})
		}
	}
}
