package memory

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Locks returns the experiment locks.
func Locks() finding.Experiment {
	return finding.Experiment{
		Name:     "locks",
		Topic:    finding.MessagesOrMemory,
		Asks:     []string{"R1", "R5", "P3"},
		Question: "When does shared memory stop scaling?",
		Teaser:   "when memory stops",
		Takes:    6 * time.Second,
	}
}
