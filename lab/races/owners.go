package races

import (
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Owners returns the experiment owners.
func Owners() finding.Experiment {
	return finding.Experiment{
		Name:     "owners",
		Topic:    finding.Consistency,
		Asks:     []string{"R5"},
		Question: "What does an owner write who slept through the end of its lease?",
		Teaser:   "a lease that woke late",
		Takes:    4 * time.Second,
	}
}
