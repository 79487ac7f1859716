package simulation

import (
	"fmt"
	"testing"

	"github.com/ridehail/ridehail/dispatch"
)

type citySize struct {
	drivers int
	perHour float64
}

func cities() []citySize {
	if testing.Short() {
		return []citySize{{20, 60}}
	}
	return []citySize{{1000, 2000}, {10_000, 20_000}, {100_000, 150_000}}
}

// BenchmarkCity runs twenty minutes of an evening in the built-in city. The
// figure is how many seconds of the city pass in one of ours, on one processor:
// above 1 is faster than real time.
func BenchmarkCity(b *testing.B) {
	for _, policy := range []string{dispatch.GreedyPolicy, dispatch.BatchedPolicy} {
		for _, size := range cities() {
			b.Run(fmt.Sprintf("policy=%s/drivers=%d/riders=%.0f", policy, size.drivers, size.perHour), func(b *testing.B) {
				cfg := Config{City: builtInCity(b), Policy: policy, Seed: 1, Drivers: size.drivers, RidersPerHour: size.perHour, Hours: 1. / 3,
					Begin: 17, Surge: true}
				var requests, completed int
				for b.Loop() {
					r, err := Run(b.Context(), cfg)
					if err != nil {
						b.Fatal(err)
					}
					requests, completed = r.Requests, r.Completed
				}

				if completed == 0 {
					b.Fatal("no ride was completed")
				}
				b.ReportMetric(float64(requests), "requests")
				b.ReportMetric(cfg.duration().Seconds()*float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
			})
		}
	}
}
