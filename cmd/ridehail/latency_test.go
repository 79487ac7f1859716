package main

import (
	"errors"
	"testing"

	"github.com/ridehail/ridehail/lab/latency"
)

func TestLatencyFailsWhenAnythingIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		report latency.Report
		fails  bool
	}{
		"all came, some of it twice": {latency.Report{Sent: 9, Delivered: 9, TripEvents: latency.Numbered{Delivered: 7, Duplicated: 1}}, false},
		"overwritten on purpose":     {latency.Report{Sent: 9, Delivered: 5, Overwritten: 4}, false},
		"a lost update":              {latency.Report{Sent: 9, Delivered: 8, Lost: 1}, true},
		"a missing trip event":       {latency.Report{TripEvents: latency.Numbered{Delivered: 6, Missing: 1}}, true},
	} {
		if err := checkComplete(c.report); errors.Is(err, errCheckFailed) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}
