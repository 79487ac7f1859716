package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridehail/ridehail/audit"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/postgres"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/trips"
)

// books reads the database until nothing is under way any more, or for as long as may be, and then says what is wrong
// with it. Whatever still waits then counts as lost.
func books(ctx context.Context, s *postgres.Store, within time.Duration) ([]Invariant, error) {
	late := time.Now().Add(within)
	for {
		r, err := audit.Run(ctx, s, audit.Config{Grace: time.Hour})
		if err != nil {
			return nil, err
		}
		pending := 0
		for _, i := range r.Invariants {
			pending += i.Pending
		}
		if pending == 0 || !time.Now().Before(late) {
			break
		}
		if !until(ctx, time.Now().Add(200*time.Millisecond)) {
			return nil, ctx.Err()
		}
	}
	r, err := audit.Run(ctx, s, audit.Config{Grace: time.Nanosecond})
	if err != nil {
		return nil, err
	}
	var out []Invariant
	for _, i := range r.Invariants {
		out = append(out, Invariant{Name: i.Name, Checked: i.Checked, Violations: i.Violations, Rows: i.Rows})
	}
	return out, nil
}

// money compares our books with those of the provider, a witness that shares nothing with us.
func (c *city) money(ctx context.Context, s *postgres.Store) ([]Invariant, error) {
	entries, err := c.entries(ctx)
	if err != nil {
		return nil, err
	}
	taken := map[string][]provider.Entry{}
	for _, e := range entries {
		if e.Status == "success" {
			taken[e.Reference] = append(taken[e.Reference], e)
		}
	}
	once := Invariant{Name: "the provider took money exactly once for each completed trip"}
	never := Invariant{Name: "the provider took nothing for any other trip"}
	err = s.AuditTrips(ctx, func(t trips.Trip) error {
		es := taken[payments.Reference(t.ID)]
		delete(taken, payments.Reference(t.ID))
		if t.State == trips.Completed {
			once.check(len(es) == 1, "trip %s was paid %d times", t.ID, len(es))
		} else {
			never.check(len(es) == 0, "trip %s, which is %s, was paid %d times", t.ID, t.State, len(es))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read trips: %w", err)
	}
	for ref, es := range taken {
		never.check(false, "%s was paid %d times, and we know no such trip", ref, len(es))
	}
	same := Invariant{Name: "our charges and the provider's ledger add up to the same sum"}
	sums := map[string]int64{} // by currency; ours minus theirs
	err = s.AuditCharges(ctx, func(c payments.Charge) error {
		sums[c.Amount.Currency] += c.Amount.Minor
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read charges: %w", err)
	}
	for _, e := range entries {
		if e.Status == "success" {
			sums[e.Currency] -= e.Amount
		}
	}
	for currency, d := range sums {
		same.check(d == 0, "we booked %d minor units of %s more than were taken", d, currency)
	}
	return []Invariant{once, never, same}, nil
}

// entries asks the provider for its ledger, past all proxies.
func (c *city) entries(ctx context.Context) (out []provider.Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.ledger, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+providerSecret)
	res, err := fresh.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the provider's ledger: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("the provider's ledger: %s, %w", res.Status, err)
	}
	return out, nil
}

// seen is what the crowds printed: what they did, and which promises nodes broke in their eyes.
func (c *city) seen(load *Load) (Invariant, error) {
	out := Invariant{Name: "phones saw events, messages and positions in order, none missing or repeated"}
	for _, w := range c.crowds {
		var s simulators.Snapshot
		if err := json.Unmarshal(w.out.Bytes(), &s); err != nil {
			return out, fmt.Errorf("what %s saw: %w; see its log in %s", w.name, err, c.dir)
		}
		out.Checked += int(s.Latency.Count + s.ChatDelivered + s.OffersSeen + s.TripsReserved + s.TripsCompleted)
		for _, row := range s.Named {
			out.check(false, "%s", row)
		}
		out.Violations += int(s.Violations) - len(s.Named)
		load.Fixes += s.FixesSent
		load.Trips += s.TripsRequested
		load.Completed += s.TripsCompleted
		load.Chat += s.ChatSent
		load.Reconnects += s.Reconnects
		load.Resumed += s.Resumed
	}
	return out, nil
}

// health says which processes did not stay well.
func (c *city) health(odd []string) ([]Invariant, error) {
	lived := Invariant{Name: "no process ended by itself", Checked: len(c.crowds)}
	for _, row := range odd {
		lived.check(false, "%s", row)
	}
	for _, s := range c.services() {
		lived.Checked++
		for _, row := range s.oddities() {
			lived.check(false, "%s", row)
		}
	}
	calm := Invariant{Name: "no log tells of a panic or a data race"}
	logs, err := filepath.Glob(c.dir + "/*.log")
	if err != nil {
		return nil, err
	}
	for _, name := range logs {
		rows, err := outcries(name)
		if err != nil {
			return nil, err
		}
		calm.check(len(rows) == 0, "%s: %s", filepath.Base(name), strings.Join(rows, "; "))
	}
	return []Invariant{lived, calm}, nil
}

// outcries finds the lines of a log that no program should write.
func outcries(name string) (rows []string, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		line := lines.Text()
		for _, cry := range []string{"WARNING: DATA RACE", "panic: ", "a handler panicked", "fatal error: "} {
			if strings.Contains(line, cry) && len(rows) < 3 {
				rows = append(rows, line)
			}
		}
	}
	return rows, lines.Err()
}

// judge asks every witness.
func (c *city) judge(ctx context.Context, r *Report, odd []string) (err error) {
	s, err := postgres.Open(ctx, c.database, postgres.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer s.Close()
	begin := time.Now()
	kept, err := books(ctx, s, settleWithin)
	if err != nil {
		return err
	}
	r.QuiesceS += time.Since(begin).Seconds()
	paid, err := c.money(ctx, s)
	if err != nil {
		return err
	}
	phones, err := c.seen(&r.Load)
	well, herr := c.health(odd)
	if err := errors.Join(err, herr); err != nil {
		return err
	}
	r.Invariants = append(r.Invariants, kept...)
	r.Invariants = append(r.Invariants, paid...)
	r.Invariants = append(r.Invariants, phones)
	r.Invariants = append(r.Invariants, well...)
	return nil
}
