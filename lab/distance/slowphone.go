package distance

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// SlowPhone returns the experiment slowphone.
func SlowPhone() finding.Experiment {
	return finding.Experiment{
		Name:     "slowphone",
		Topic:    finding.LatencyAndLoss,
		Asks:     []string{"R4"},
		Question: "A queue or the newest position for a phone that cannot keep up?",
		Teaser:   "a phone that lags",
		Takes:    6 * time.Second,
	}
}
