package messages

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Patterns returns the experiment patterns.
func Patterns() finding.Experiment {
	return finding.Experiment{
		Name:     "patterns",
		Topic:    finding.QueueOrDirect,
		Asks:     []string{"P5", "C1"},
		Question: "Which way of sending reaches a receiver that was away?",
		Teaser:   "five ways compared",
		Takes:    5 * time.Second,
	}
}
