package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/latency"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
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

// TestLatencyMeasuresANodeAndLeavesNoRideOpen measures twice, as people do.
func TestLatencyMeasuresANodeAndLeavesNoRideOpen(t *testing.T) {
	slowtest.Require(t)
	address, database := freeAddress(t), filepath.Join(t.TempDir(), "ridehail.db")
	node := start(t, "serve", "--dev-tokens", "--listen", address, "--admin", "", "--database", database)
	awaitReady(t, node, "http://"+address)

	for range 2 {
		p := start(t, "latency", "--server", "http://"+address, "--pairs", "20", "--rate", "10", "--for", "1s", "--json")
		if code := p.wait(t); code != exitDone || strings.Contains(p.logs.String(), "could be ended") {
			t.Errorf("exit %d: %s", code, &p.logs)
		}
		var r latency.Report
		if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil || r.Delivered == 0 || r.Delivered != r.Sent {
			t.Errorf("%v: %+v", err, r)
		}
	}

	s, closeStore, err := store.OpenExisting(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	completed := 0
	err = s.AuditTrips(t.Context(), func(trip trips.Trip) error {
		if trip.State.IsActive() {
			t.Errorf("trip %s is still %s", trip.ID, trip.State)
		}
		if trip.State == trips.Completed {
			completed++
		}
		return nil
	})
	if err = errors.Join(err, closeStore()); err != nil || completed != 40 {
		t.Errorf("%d rides were completed: %v", completed, err)
	}
}

func TestABadLineIsRefusedInOneLine(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--line 40", "want DELAY,LOSS such as 40ms,2%"},
		{"--line 40ms", "want DELAY,LOSS such as 40ms,2%"},
		{"--line 5s,2%", "at most 2s,20%"},
		{"--line 40ms,90%", "at most 2s,20%"},
		{"--line 40ms,2% --server https://localhost:1", "a line leads to http://HOST:PORT"},
	} {
		var out, logs strings.Builder
		code := run(t.Context(), nil, append([]string{"latency"}, strings.Fields(c.args)...), &out, &logs)
		if code != exitUsage || !strings.Contains(logs.String(), c.says) || !strings.Contains(logs.String(), "--line") {
			t.Errorf("%s: exit %d, %s", c.args, code, &logs)
		}
	}
}
