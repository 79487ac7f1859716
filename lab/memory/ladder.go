// Package memory holds experiments of the lab.
package memory

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Ladder returns the experiment ladder.
func Ladder() finding.Experiment {
	return finding.Experiment{
		Name:     "ladder",
		Topic:    finding.MessagesOrMemory,
		Asks:     []string{"R1", "R2", "P2"},
		Question: "What does one answer cost?",
		Teaser:   "what one answer costs",
		Takes:    8 * time.Second,
	}
}
