package faulty

import (
	"context"
	"maps"
	"slices"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// auditSource yields everything that is stored; see audit.Source.
type auditSource struct{ *state }

// AuditTrips yields every trip. Audits never fail.
func (s *auditSource) AuditTrips(_ context.Context, yield func(trips.Trip) error) error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.trips))
	s.mu.Unlock()
	return yieldEach(all, yield)
}

// AuditEvents yields every event in the order of commits.
func (s *auditSource) AuditEvents(_ context.Context, yield func(seq uint32, ev trips.Event) error) error {
	s.mu.Lock()
	all := slices.Clone(s.log)
	s.mu.Unlock()
	return yieldEach(all, func(ev trips.Event) error { return yield(ev.Seq(), ev) })
}

// AuditChat yields every message by trip and number.
func (s *auditSource) AuditChat(_ context.Context, yield func(chat.Message) error) error {
	s.mu.Lock()
	var all []chat.Message
	for _, id := range slices.Sorted(maps.Keys(s.messages)) {
		all = append(all, s.messages[id]...)
	}
	s.mu.Unlock()
	return yieldEach(all, yield)
}

// AuditCharges yields every charge.
func (s *auditSource) AuditCharges(_ context.Context, yield func(payments.Charge) error) error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.charges))
	s.mu.Unlock()
	return yieldEach(all, yield)
}

// AuditRefunds yields every refund by trip.
func (s *auditSource) AuditRefunds(_ context.Context, yield func(payments.Refund) error) error {
	s.mu.Lock()
	var all []payments.Refund
	for _, id := range slices.Sorted(maps.Keys(s.refunds)) {
		all = append(all, s.refunds[id])
	}
	s.mu.Unlock()
	return yieldEach(all, yield)
}

// AuditAlerts yields every call for help in the order of their commits.
func (s *auditSource) AuditAlerts(_ context.Context, yield func(sos.Alert) error) error {
	s.mu.Lock()
	all := slices.Clone(s.alerts)
	s.mu.Unlock()
	return yieldEach(all, yield)
}

func yieldEach[T any](all []T, yield func(T) error) error {
	for _, v := range all {
		if err := yield(v); err != nil {
			return err
		}
	}
	return nil
}
