package distance

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Loss returns the experiment loss.
func Loss() finding.Experiment {
	return finding.Experiment{
		Name:     "loss",
		Topic:    finding.LatencyAndLoss,
		Asks:     []string{"R4", "P1"},
		Question: "At most once, at least once, or effectively once?",
		Teaser:   "once, or at least once",
		Takes:    4 * time.Second,
	}
}
