package sqlite

import (
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/audit"
)

// TestAnAuditOfTheFileSeesWhatSomebodyTamperedWith closes the loop: the streams must read what the guards look at, and
// not only what the events say.
func TestAnAuditOfTheFileSeesWhatSomebodyTamperedWith(t *testing.T) {
	for _, c := range []struct{ name, tamper, row string }{
		{"nothing", `SELECT 1`, ""},
		{"a row's driver", `UPDATE trips SET driver = 'dayo'`, `of driver "dayo"`},
		{"a row's state", `UPDATE trips SET state = 'cancelled'`, "the row says cancelled"},
		{"a row's version", `UPDATE trips SET version = 4`, "the row says completed, version 4"},
		{"a row's end", `UPDATE trips SET ended_at = NULL`, "the row says completed, version 5"},
		{"an event", `DELETE FROM trip_events WHERE seq = 3`, "event 4"},
		{"the last event", `DELETE FROM trip_events WHERE seq = 5`, "version 5, which has no event"},
		{"the charge", `DELETE FROM charges`, "not charged"},
		{"the amount", `UPDATE charges SET minor = 1`, "charged 0.01"},
		{"the talk", `UPDATE chat SET seq = 2`, "message 2 follows message 0"},
		{"the outbox", `INSERT INTO outbox (topic, region, kind, trip_id, payload, at) VALUES ('', '', '', '', '', 0)`,
			"1 notices wait, the oldest since 1970"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, Options{Relaxed: true})
			askEverything(t, s)
			must(t, raw(t, s.path), c.tamper)
			report, err := audit.Run(t.Context(), s, audit.Config{Grace: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if (report.Violations() > 0) != (c.row != "") || !strings.Contains(report.Text(), c.row) {
				t.Errorf("nothing says %q in\n%s", c.row, report.Text())
			}
		})
	}
}
