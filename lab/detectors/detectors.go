// Package detectors holds experiments of the lab.
package detectors

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Detectors returns the experiment detectors.
func Detectors() finding.Experiment {
	return finding.Experiment{
		Name:     "detectors",
		Topic:    finding.RideHailing,
		Asks:     []string{"C2"},
		Question: "Failed, or only slow?",
		Teaser:   "failed, or only slow",
		Takes:    4 * time.Second,
	}
}
