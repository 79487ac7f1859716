// Package audit reads everything a store keeps and checks the promises of the
// app. For each invariant it counts what was checked and names the rows that
// break it. It never writes and may run while the city is busy.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// Source is a store that can be read from end to end. Each method streams its
// rows, stops at the first error of yield, and returns that error.
type Source interface {
	// AuditAlerts yields all calls for help.
	AuditAlerts(ctx context.Context, yield func(sos.Alert) error) error
	// AuditChat yields all messages, those of a trip in the order of their
	// numbers.
	AuditChat(ctx context.Context, yield func(chat.Message) error) error
	// AuditCharges yields all charges.
	AuditCharges(ctx context.Context, yield func(payments.Charge) error) error
	// AuditRefunds yields all refunds.
	AuditRefunds(ctx context.Context, yield func(payments.Refund) error) error
	// AuditEvents yields the whole log in the order of commits, with the number
	// each event was kept under.
	AuditEvents(ctx context.Context, yield func(seq uint32, ev trips.Event) error) error
	// AuditTrips yields where each trip stands, read from the row that guards
	// its moves and not from its events: id, version, state, rider, driver,
	// region, requested at, ended at. The rest may be empty.
	AuditTrips(ctx context.Context, yield func(trips.Trip) error) error
	// Backlog counts messages not yet relayed and says when the oldest was
	// written.
	Backlog(ctx context.Context) (n int, oldest time.Time, err error)
}

// Config is the clock and the tolerance of an audit. Brackets give the value
// that zero stands for.
type Config struct {
	Now   func() time.Time // [time.Now]
	Grace time.Duration    // for a charge, an outbox message or a call for help [1 minute]

	// NoEarlierBuild says that this build wrote all of the store, so that a
	// step without the car's place is a violation.
	NoEarlierBuild bool
}

// Run audits a store. It blocks until all is read and holds about a kilobyte of
// memory per trip.
//
// It reads what depends on a trip before the trips, and refunds before their
// charges. So in a busy city a trip can only be further than what was read of
// it; the events of such trips are read a second time.
//
// An error means that the store could not be read. Broken invariants are in the
// report.
func Run(ctx context.Context, src Source, cfg Config) (Report, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := newAuditState(cfg.Now(), cmp.Or(cfg.Grace, time.Minute))
	l.noEarlierBuild = cfg.NoEarlierBuild
	for _, step := range []struct {
		what string
		read func() error
	}{
		{"calls for help", func() error { return src.AuditAlerts(ctx, l.addAlert) }},
		{"chat", func() error { return src.AuditChat(ctx, l.addMessage) }},
		{"refunds", func() error { return src.AuditRefunds(ctx, l.addRefund) }},
		{"charges", func() error { return src.AuditCharges(ctx, l.addCharge) }},
		{"trip events", func() error { return src.AuditEvents(ctx, l.addEvent) }},
		{"trips", func() error { return src.AuditTrips(ctx, l.addTrip) }},
		{"trip events again", func() error { return l.rereadEvents(ctx, src) }},
	} {
		if err := step.read(); err != nil {
			return Report{}, fmt.Errorf("audit: read %s: %w", step.what, err)
		}
	}

	l.reportOrphans()
	n, oldest, err := src.Backlog(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("audit: read outbox: %w", err)
	}

	l.checkOutbox(n, oldest, cfg.Now())
	return l.buildReport(), nil
}

// rereadEvents reads the log again if some rows were ahead of their events.
func (l *auditState) rereadEvents(ctx context.Context, src Source) error {
	if len(l.rowsAhead) == 0 {
		return nil
	}
	return src.AuditEvents(ctx, l.matchRereadEvent)
}
