// Package storm holds experiments of the lab.
package storm

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Storm returns the experiment storm.
func Storm() finding.Experiment {
	return finding.Experiment{
		Name:     "storm",
		Topic:    finding.LatencyAndLoss,
		Asks:     []string{"R4"},
		Question: "What does it cost when all phones lose their connections at the same instant?",
		Teaser:   "all come back at once",
		Takes:    15 * time.Second,
	}
}
