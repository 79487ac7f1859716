package waiting

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Provider returns the experiment provider.
func Provider() finding.Experiment {
	return finding.Experiment{
		Name:     "provider",
		Topic:    finding.Waiting,
		Asks:     []string{"P5", "R3"},
		Question: "A queue or a direct message to a provider that is slow or dead?",
		Teaser:   "queue or direct",
		Takes:    7 * time.Second,
	}
}
