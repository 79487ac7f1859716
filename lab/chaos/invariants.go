package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/chaos/check"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/store/postgres"
)

// awaitSettled waits until the database has no work under way, or within is
// over. The checks then count pending work as lost.
func awaitSettled(ctx context.Context, s *postgres.Store, within time.Duration) error {
	for late := time.Now().Add(within); ; {
		r, err := audit.Run(ctx, s, audit.Config{Grace: time.Hour})
		if err != nil {
			return err
		}

		pending := 0
		for _, i := range r.Invariants {
			pending += i.Pending
		}
		if pending == 0 || !time.Now().Before(late) {
			return nil
		}
		if !sleep.For(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// checkPhones reads the output of the clients: the load they made, and the
// violations they saw.
func (c *city) checkPhones(load *Load) (Invariant, error) {
	out := Invariant{Name: "phones saw events, messages and positions in order, none missing or repeated"}
	for _, w := range c.clients {
		var s simulators.Snapshot
		if err := json.Unmarshal(w.out.Bytes(), &s); err != nil {
			return out, fmt.Errorf("what %s saw: %w; see its log in %s", w.Name, err, c.dir)
		}

		out.Checked += int(s.Latency.Count + s.ChatDelivered + s.OffersSeen + s.TripsReserved + s.TripsCompleted)
		for _, row := range s.ViolationTexts {
			out.check(false, "%s", row)
		}
		out.Violations += int(s.Violations) - len(s.ViolationTexts)
		load.Fixes += s.FixesSent
		load.Trips += s.TripsRequested
		load.Completed += s.TripsCompleted
		load.Chat += s.ChatSent
		load.Cheats += s.Cheats
		load.TooFar += s.TooFar
		load.Reconnects += s.Reconnects
		load.Resumed += s.Resumed
	}

	return out, nil
}

// checkProcesses checks that no process ended by itself, and that no log has an
// alarming line.
func (c *city) checkProcesses(ctx context.Context, odd []string) ([]Invariant, error) {
	lived := Invariant{Name: "no process ended by itself", Checked: len(c.clients)}
	for _, row := range append(odd, c.checkCluster(ctx)...) {
		lived.check(false, "%s", row)
	}

	for _, s := range c.listServices() {
		lived.Checked++
		for _, row := range s.UnexpectedEnds() {
			lived.check(false, "%s", row)
		}
	}

	calm := Invariant{Name: "no log tells of a panic or a data race"}
	logs, err := filepath.Glob(c.dir + "/*.log")
	more, merr := filepath.Glob(c.dir + "/*/*.log") // of servers of which there are more
	if err := errors.Join(err, merr); err != nil {
		return nil, err
	}

	for _, name := range append(logs, more...) {
		rows, err := findAlarms(name)
		if err != nil {
			return nil, err
		}
		calm.check(len(rows) == 0, "%s: %s", name, strings.Join(rows, "; "))
	}

	return []Invariant{lived, calm}, nil
}

// findAlarms returns the first lines of a log that no program should write.
func findAlarms(name string) (rows []string, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}

	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)

	for lines.Scan() {
		line := lines.Text()
		for _, alarm := range []string{"WARNING: DATA RACE", "panic: ", "a handler panicked", "fatal error: "} {
			if strings.Contains(line, alarm) && len(rows) < 3 {
				rows = append(rows, line)
			}
		}
	}

	return rows, lines.Err()
}

// checkInvariants waits until the database is settled and checks all records.
func (c *city) checkInvariants(ctx context.Context, r *Report, odd []string) (err error) {
	s, err := postgres.Open(ctx, c.databaseURL, postgres.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer s.Close()

	begin := time.Now()
	if err := awaitSettled(ctx, s, settleWithin); err != nil {
		return err
	}
	r.QuiesceS += time.Since(begin).Seconds()

	kept, err := check.Run(ctx, check.Evidence{DB: s, Commands: s, Journals: c.journalPaths(), Ledger: c.ledgerPath})
	if err != nil {
		return err
	}

	drained, err := c.checkQueue(ctx)
	if err != nil {
		return err
	}
	phones, err := c.checkPhones(&r.Load)
	well, herr := c.checkProcesses(ctx, odd)
	shut, ierr := c.checkIntruder(ctx, s)
	if err := errors.Join(err, herr, ierr); err != nil {
		return err
	}

	for _, i := range kept.Invariants {
		r.Invariants = append(r.Invariants, Invariant{Name: i.Name, Checked: i.Checked, Violations: i.Violations, Rows: i.Rows})
	}
	r.Load.Commands, r.Load.Ambiguous = kept.Commands, kept.Ambiguous
	r.Invariants = append(r.Invariants, drained, phones, shut)
	r.Invariants = append(r.Invariants, well...)
	return nil
}
