// Package check checks a run in which things broke: it compares the journals of
// clients, the payment provider's ledger and the database. The three records
// share no code that could make them agree on a mistake.
package check

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

// Evidence is the records of a run, after all work has ended. The database was
// empty when the run began, and the journals are those of all clients except
// those that left nothing behind.
type Evidence struct {
	DB       audit.Source
	Commands Commands // nil: the database is not asked for command ids
	// Journals are files. Those of a client that was started again are in the
	// order of its starts.
	Journals []string
	Ledger   string // the provider's file; "" if no trip could be charged

	// Grace is how long an event may be on its way to a client that ends [5 s].
	Grace time.Duration
	// Linearize bounds the search for an order of all drivers' operations
	// [10 s].
	Linearize time.Duration
	Now       func() time.Time // [time.Now]
}

// Commands finds the event of a command id, as every trips.Store does. The
// error for an id without an event is trips.ErrNotFound or trips.ErrAbandoned;
// trips.ErrKeyReused means that there is one.
type Commands interface {
	RecordedEvent(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error)
}

// Report is the result of the checks. Its first invariants are those of the
// audit. Ambiguous commands are those whose outcome the client was never told.
type Report struct {
	audit.Report
	Phones    int `json:"phones"`
	Commands  int `json:"commands"`
	Ambiguous int `json:"ambiguous"`
	Records   int `json:"records"`  // lines of journals
	Payments  int `json:"payments"` // lines of the ledger
}

// Text formats the report for a terminal.
func (r Report) Text() string {
	return r.Report.Text() + fmt.Sprintf("%d commands, %d of them ambiguous, by %d phones in %d records; %d payments\n",
		r.Commands, r.Ambiguous, r.Phones, r.Records, r.Payments)
}

// Run checks the evidence. An error means that a record could not be read;
// broken invariants are in the report.
func Run(ctx context.Context, e Evidence) (Report, error) {
	e.Grace, e.Linearize = cmp.Or(e.Grace, 5*time.Second), cmp.Or(e.Linearize, 10*time.Second)
	if e.Now == nil {
		e.Now = time.Now
	}
	db := newStore(e.DB)
	audited, err := audit.Run(ctx, db, audit.Config{Now: e.Now, Grace: time.Nanosecond, NoEarlierBuild: true})
	if err != nil {
		return Report{}, err
	}

	history := newClientHistory(db, e.Grace)
	for _, path := range e.Journals {
		if err := history.readJournal(path); err != nil {
			return Report{}, fmt.Errorf("check: %s: %w", path, err)
		}
	}

	commands := newCommandCheck(db, history)
	if err := commands.checkCommands(ctx, e.Commands); err != nil {
		return Report{}, fmt.Errorf("check: ask for a command: %w", err)
	}

	alerts := newSOSCheck(db, history)
	alerts.checkNotices()
	ledger := newPaymentCheck(db)
	if err := ledger.checkLedger(e.Ledger); err != nil {
		return Report{}, fmt.Errorf("check: %s: %w", e.Ledger, err)
	}

	linear := checkLinearizable(ctx, db, history, e.Linearize)
	report := Report{Report: audited, Phones: len(history.phones), Commands: len(history.commands), Ambiguous: commands.ambiguous,
		Records: history.line, Payments: ledger.lines}
	for _, group := range [][]*invariant{commands.invariants(), history.invariants(), alerts.invariants(), db.invariants(), ledger.invariants(), {linear}} {
		for _, i := range group {
			report.Invariants = append(report.Invariants, i.Invariant)
		}
	}
	return report, nil
}

// Invariant is one promise and how well it was kept.
type Invariant = audit.Invariant

// invariant counts what it checks.
type invariant struct{ Invariant }

func newInvariant(name string) *invariant { return &invariant{Invariant{Name: name}} }

// check counts a checked thing, and a violation unless it is ok.
func (i *invariant) check(ok bool, format string, args ...any) {
	i.Checked++
	if !ok {
		i.addViolation(format, args...)
	}
}

func (i *invariant) addViolation(format string, args ...any) {
	i.Violations++
	if len(i.Rows) < audit.MaxRows {
		i.Rows = append(i.Rows, fmt.Sprintf(format, args...))
	}
}
