package waiting

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Retries returns the experiment retries.
func Retries() finding.Experiment {
	return finding.Experiment{
		Name:     "retries",
		Topic:    finding.LatencyAndLoss,
		Asks:     []string{"R4"},
		Question: "Can retries keep a healthy service down?",
		Teaser:   "kept down by retries",
		Takes:    12 * time.Second,
	}
}
