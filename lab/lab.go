package lab

import (
	"github.com/ridehail/ridehail/lab/detectors"
	"github.com/ridehail/ridehail/lab/distance"
	"github.com/ridehail/ridehail/lab/doors"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/memory"
	"github.com/ridehail/ridehail/lab/messages"
	"github.com/ridehail/ridehail/lab/races"
	"github.com/ridehail/ridehail/lab/storm"
	"github.com/ridehail/ridehail/lab/waiting"
)

// All returns every experiment, in the order of the course's headings.
func All() []finding.Experiment {
	return []finding.Experiment{
		memory.Ladder(),
		memory.Locks(),
		messages.Nodes(),
		waiting.Fanout(),
		waiting.Provider(),
		distance.RTT(),
		distance.SlowPhone(),
		distance.Loss(),
		waiting.Retries(),
		storm.Storm(),
		races.Races(),
		races.Owners(),
		messages.Patterns(),
		doors.Doors(),
		detectors.Detectors(),
	}
}
