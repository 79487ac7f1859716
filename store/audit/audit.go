// Package audit reads what a store keeps and says whether the app kept its promises: each invariant with how much was
// looked at and which rows break it. It never writes, and it may run beside a busy city.
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

// Source is a store, read from end to end. Each method streams and stops with the first error yield returns.
type Source interface {
	// AuditAlerts yields all calls for help.
	AuditAlerts(ctx context.Context, yield func(sos.Alert) error) error
	// AuditChat yields all messages, those of a trip in the order of their numbers.
	AuditChat(ctx context.Context, yield func(chat.Message) error) error
	// AuditCharges yields all charges.
	AuditCharges(ctx context.Context, yield func(payments.Charge) error) error
	// AuditRefunds yields all refunds.
	AuditRefunds(ctx context.Context, yield func(payments.Refund) error) error
	// AuditEvents yields the whole log in the order of commits, with the number each event was kept under.
	AuditEvents(ctx context.Context, yield func(seq uint32, ev trips.Event) error) error
	// AuditTrips yields where each trip stands, read from the row that guards its moves and not from its events: id,
	// version, state, rider, driver, region, requested at, ended at. The rest may be empty.
	AuditTrips(ctx context.Context, yield func(trips.Trip) error) error
	// Backlog counts notices not yet relayed and says when the oldest was written.
	Backlog(ctx context.Context) (n int, oldest time.Time, err error)
}

// Config says by what an audit judges; zero values stand for what is in brackets.
type Config struct {
	Now   func() time.Time // [time.Now]
	Grace time.Duration    // how long a charge, a refund, a notice or a call for help may take [1 minute]
}

// Run reads what depends on a trip before the trips, and refunds before the charges they are of, so that a city that goes on meanwhile only ever shows trips that
// went farther than what was read of them; for those the events are read once more. It holds about a kilobyte of memory
// per trip.
// An error means that the store could not be read; broken invariants are in the report.
func Run(ctx context.Context, src Source, cfg Config) (Report, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := newLedger(cfg.Now(), cmp.Or(cfg.Grace, time.Minute))
	for _, step := range []struct {
		what string
		read func() error
	}{
		{"calls for help", func() error { return src.AuditAlerts(ctx, l.alert) }},
		{"chat", func() error { return src.AuditChat(ctx, l.message) }},
		{"refunds", func() error { return src.AuditRefunds(ctx, l.refund) }},
		{"charges", func() error { return src.AuditCharges(ctx, l.charge) }},
		{"trip events", func() error { return src.AuditEvents(ctx, l.event) }},
		{"trips", func() error { return src.AuditTrips(ctx, l.trip) }},
		{"trip events again", func() error { return l.again(ctx, src) }},
	} {
		if err := step.read(); err != nil {
			return Report{}, fmt.Errorf("audit: read %s: %w", step.what, err)
		}
	}
	l.orphans()
	n, oldest, err := src.Backlog(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("audit: read outbox: %w", err)
	}
	l.outbox(n, oldest, cfg.Now())
	return l.report(), nil
}

func (l *ledger) again(ctx context.Context, src Source) error {
	if len(l.movers) == 0 {
		return nil
	}
	return src.AuditEvents(ctx, l.moved)
}
