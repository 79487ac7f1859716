// Package doors holds experiments of the lab.
package doors

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Doors returns the experiment doors.
func Doors() finding.Experiment {
	return finding.Experiment{
		Name:     "doors",
		Topic:    finding.RideHailing,
		Asks:     []string{"P4"},
		Question: "Which mechanism is best for ride hailing?",
		Teaser:   "poll, stream, socket",
		Takes:    10 * time.Second,
	}
}
