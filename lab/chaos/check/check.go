// Package check judges a run in which things broke: it holds what clients wrote
// down, what the payment provider wrote down and what the database holds
// against each other. The witnesses share no code that could make them agree on
// a lie.
package check

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

// Evidence is what the witnesses left when all was quiet again. The database
// was empty when the run began, and the journals are those of all clients
// except strangers who left nothing behind.
type Evidence struct {
	DB audit.Source
	// nil: the database is not asked what became of each command id
	Commands Commands
	// files; those of a client that was started again in the order of its
	// starts
	Journals []string
	Ledger   string // the provider's file; "" when nobody could be charged

	// how long news may be on its way when the clients leave [5 s]
	Grace time.Duration
	// how long to look for an order of each driver's doings, all together [10
	// s]
	Linearize time.Duration
	Now       func() time.Time // [time.Now]
}

// Commands says what a command id led to: every trips.Store does. The error for
// an id that led to nothing is trips.ErrNotFound; trips.ErrKeyReused means that
// it led to something.
type Commands interface {
	RecordedEvent(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error)
}

// Report is what the witnesses say together. Its first invariants are those of
// the audit.
type Report struct {
	audit.Report
	Phones   int `json:"phones"`
	Commands int `json:"commands"`
	// commands of which the client never heard what became
	Ambiguous int `json:"ambiguous"`
	Records   int `json:"records"`  // lines of journals
	Payments  int `json:"payments"` // lines of the ledger
}

// Text is the report for a terminal.
func (r Report) Text() string {
	return r.Report.Text() + fmt.Sprintf("%d commands, %d of them ambiguous, by %d phones in %d records; %d payments\n",
		r.Commands, r.Ambiguous, r.Phones, r.Records, r.Payments)
}

// Run judges. An error means that a witness could not be heard; broken
// invariants are in the report.
func Run(ctx context.Context, e Evidence) (Report, error) {
	e.Grace, e.Linearize = cmp.Or(e.Grace, 5*time.Second), cmp.Or(e.Linearize, 10*time.Second)
	if e.Now == nil {
		e.Now = time.Now
	}
	db := newStore(e.DB)
	audited, err := audit.Run(ctx, db, audit.Config{Now: e.Now, Grace: time.Nanosecond})
	if err != nil {
		return Report{}, err
	}

	h := newClientHistory(db, e.Grace)
	for _, path := range e.Journals {
		if err := h.readJournal(path); err != nil {
			return Report{}, fmt.Errorf("check: %s: %w", path, err)
		}
	}

	d := newCommandCheck(db, h)
	if err := d.checkCommands(ctx, e.Commands); err != nil {
		return Report{}, fmt.Errorf("check: ask for a command: %w", err)
	}

	q := newSOSCheck(db, h)
	q.checkNotices()
	b := newPaymentCheck(db)
	if err := b.checkLedger(e.Ledger); err != nil {
		return Report{}, fmt.Errorf("check: %s: %w", e.Ledger, err)
	}

	l := checkLinearizable(ctx, db, h, e.Linearize)
	report := Report{Report: audited, Phones: len(h.phones), Commands: len(h.commands), Ambiguous: d.ambiguous,
		Records: h.line, Payments: b.lines}
	for _, group := range [][]*invariant{d.invariants(), h.invariants(), q.invariants(), db.invariants(), b.invariants(), {l}} {
		for _, i := range group {
			report.Invariants = append(report.Invariants, i.Invariant)
		}
	}
	return report, nil
}

// Invariant is one promise and how well it was kept.
type Invariant = audit.Invariant

// invariant counts.
type invariant struct{ Invariant }

func newInvariant(name string) *invariant { return &invariant{Invariant{Name: name}} }

// check counts one more thing looked at, and the violation if it is one.
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
