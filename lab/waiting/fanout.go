// Package waiting holds experiments of the lab.
package waiting

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Fanout returns the experiment fanout.
func Fanout() finding.Experiment {
	return finding.Experiment{
		Name:     "fanout",
		Topic:    finding.Waiting,
		Asks:     []string{"R3"},
		Question: "What does waiting for others cost?",
		Teaser:   "waiting for others",
		Takes:    7 * time.Second,
	}
}
