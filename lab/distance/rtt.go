// Package distance holds experiments of the lab.
package distance

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// RTT returns the experiment rtt.
func RTT() finding.Experiment {
	return finding.Experiment{
		Name:     "rtt",
		Topic:    finding.LatencyAndLoss,
		Asks:     []string{"R4", "P2"},
		Question: "What does distance do to throughput?",
		Teaser:   "distance and throughput",
		Takes:    7 * time.Second,
	}
}
