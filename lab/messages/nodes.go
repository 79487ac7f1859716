// Package messages holds experiments of the lab.
package messages

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Nodes returns the experiment nodes.
func Nodes() finding.Experiment {
	return finding.Experiment{
		Name:     "nodes",
		Topic:    finding.MessagesOrMemory,
		Asks:     []string{"R1", "R2"},
		Question: "What does it cost when every node hears everything?",
		Teaser:   "tell all, or subscribe",
		Takes:    5 * time.Second,
	}
}
