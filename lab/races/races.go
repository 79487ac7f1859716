// Package races holds experiments of the lab.
package races

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Races returns the experiment races.
func Races() finding.Experiment {
	return finding.Experiment{
		Name:     "races",
		Topic:    finding.Consistency,
		Asks:     []string{"R5", "P3"},
		Question: "Where do updates get lost, and what repairs that?",
		Teaser:   "lost updates",
		Takes:    4 * time.Second,
	}
}
