package simulators

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// openJournal opens a journal for a test. records closes it and reads it back.
func openJournal(t *testing.T) (j *journal.Journal, records func() []journal.Record) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.jsonl")

	j, err := journal.Create(path)
	if err != nil {
		t.Fatal(err)
	}

	return j, func() (all []journal.Record) {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := journal.Read(f, func(r journal.Record) error { all = append(all, r); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
}

// happenings lists the wanted records once each, as WHAT or WHAT/KIND, in order
// of appearance.
func happenings(all []journal.Record, want ...string) (out []string) {
	for _, r := range all {
		s := r.What
		if r.Kind != "" {
			s += "/" + r.Kind
		}
		if slices.Contains(want, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func TestADriversJournalTellsTheWholeTripInOrder(t *testing.T) {
	j, records := openJournal(t)
	n := newFakeNode(t, driverScript(800))
	stop := startDrivers(t, n, DriverConfig{Speed: 400, Rate: 50, Decline: -1, Journal: j})
	n.waitUntil("the trip completes", func() bool { return n.trip != nil && n.trip.State == client.StateCompleted })
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	all := records()
	want := []string{"begin", "hello", "welcome", "invoke/available", "offer", "invoke/accept", "invoke/arrive",
		"ok/arrive", "invoke/complete", "off", "close"}
	if got := happenings(all, want...); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}

	for _, r := range all {
		if r.What == journal.OK && r.Kind == journal.Arrive && (r.Trip != "trip" || r.State != client.StateArrived || r.Seq == 0) {
			t.Errorf("an ack lacks what it said: %+v", r)
		}
		if r.What == journal.Invoke && (r.Command == "" || r.Who != "driver:driver-0001" || r.Phone == "") {
			t.Errorf("a command lacks its id, user or phone: %+v", r)
		}
	}
}

func TestACommandWhoseAckNeverCameIsOpenInTheJournal(t *testing.T) {
	j, records := openJournal(t)
	n := newFakeNode(t, riderScript(nil))
	n.silent = true
	stop := startRiders(t, n, RiderConfig{PerMinute: 600, Journal: j})
	n.waitUntil("a ride is wanted", func() bool { return len(n.commandIDs(isRequest)) > 0 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	want := []string{"invoke/request", "info/request"}
	if got := happenings(records(), append(want, "ok/request", "fail/request")...); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestAJournalAccusesANodeThatPushesPositionsWithoutCredit(t *testing.T) {
	j, records := openJournal(t)
	stats := NewStats()
	n := newFakeNode(t, riderScript(func(c *fakeConn, f *wire.ClientFrame) {
		if f.GetRequestTrip() == nil {
			return
		}
		now := time.Now()
		for i := range 4 {
			// Each is one position more than the acks allow.
			c.pos += 2
			c.sendPosition("d", now.Add(time.Duration(i)*time.Second))
		}

		c.sendPosition("d", now)
	}))

	stop := startRiders(t, n, RiderConfig{PerMinute: 600, Stats: stats, Journal: j})
	n.waitUntil("the rider is appalled", func() bool { return stats.Snapshot().Violations >= 5 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	broken, back := 0, 0
	for _, r := range records() {
		switch r.What {
		case journal.Broken:
			broken++
			if r.Text == "" {
				t.Errorf("not said what is wrong: %+v", r)
			}
		case journal.Back:
			back++
			if r.BehindMs < 2999 || r.Driver != "d" {
				t.Errorf("%+v", r)
			}
		}
	}

	if broken != 5 || back != 1 || !strings.HasPrefix(stats.Snapshot().ViolationTexts[0], "rider rider-0001: position ") {
		t.Errorf("%d frames accused, %d of them of going back", broken, back)
	}
}
