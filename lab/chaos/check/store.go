package check

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

// store keeps a copy of what the audit reads from the database, for the other
// checks.
type store struct {
	audit.Source
	events   map[trips.TripID][]trips.Event
	messages map[trips.TripID][]chat.Message
	charges  map[trips.TripID]payments.Charge
	refunds  map[trips.TripID]payments.Refund
	alerts   map[commandKey]sos.Alert

	messageOnce *invariant
}

func newStore(src audit.Source) *store {
	return &store{Source: src, messages: map[trips.TripID][]chat.Message{}, charges: map[trips.TripID]payments.Charge{},
		refunds: map[trips.TripID]payments.Refund{}, alerts: map[commandKey]sos.Alert{},
		messageOnce: newInvariant("no chat message is kept twice")}
}

func (s *store) invariants() []*invariant { return []*invariant{s.messageOnce} }

func (s *store) AuditEvents(ctx context.Context, yield func(uint32, trips.Event) error) error {
	s.events = map[trips.TripID][]trips.Event{} // the audit may read twice
	return s.Source.AuditEvents(ctx, func(seq uint32, ev trips.Event) error {
		s.events[ev.Trip.ID] = append(s.events[ev.Trip.ID], ev)
		return yield(seq, ev)
	})
}

// messageKey is a message by its sender's id.
type messageKey struct {
	commandKey
	trip trips.TripID
}

func keyOf(m chat.Message) messageKey {
	return messageKey{commandKey{m.From, m.ClientID}, m.Trip}
}

func (s *store) AuditChat(ctx context.Context, yield func(chat.Message) error) error {
	first := map[messageKey]uint32{}
	return s.Source.AuditChat(ctx, func(m chat.Message) error {
		key := keyOf(m)
		before, again := first[key]
		s.messageOnce.check(!again, "trip %s: message %d of %v is message %d again: both are their %s",
			m.Trip, m.Seq, m.From, before, m.ClientID)
		first[key] = m.Seq
		s.messages[m.Trip] = append(s.messages[m.Trip], m)
		return yield(m)
	})
}

func (s *store) AuditCharges(ctx context.Context, yield func(payments.Charge) error) error {
	return s.Source.AuditCharges(ctx, func(c payments.Charge) error {
		s.charges[c.Trip] = c
		return yield(c)
	})
}

func (s *store) AuditRefunds(ctx context.Context, yield func(payments.Refund) error) error {
	return s.Source.AuditRefunds(ctx, func(r payments.Refund) error {
		s.refunds[r.Trip] = r
		return yield(r)
	})
}

func (s *store) AuditAlerts(ctx context.Context, yield func(sos.Alert) error) error {
	return s.Source.AuditAlerts(ctx, func(a sos.Alert) error {
		s.alerts[commandKey{a.From, a.ClientID}] = a
		return yield(a)
	})
}

// sortedAlerts returns the calls for help by id.
func (s *store) sortedAlerts() []sos.Alert {
	return slices.SortedFunc(maps.Values(s.alerts), func(a, b sos.Alert) int { return cmp.Compare(a.ID, b.ID) })
}

// alertByID returns the call for help with an id.
func (s *store) alertByID(id string) (sos.Alert, bool) {
	for _, a := range s.alerts {
		if a.ID == id {
			return a, true
		}
	}
	return sos.Alert{}, false
}

// findEvent returns the event of a trip with a number.
func (s *store) findEvent(id trips.TripID, seq uint32) (trips.Event, bool) {
	for _, ev := range s.events[id] {
		if ev.Seq() == seq {
			return ev, true
		}
	}
	return trips.Event{}, false
}

// findMessage returns the message of a trip with a number.
func (s *store) findMessage(id trips.TripID, seq uint32) (chat.Message, bool) {
	for _, m := range s.messages[id] {
		if m.Seq == seq {
			return m, true
		}
	}
	return chat.Message{}, false
}

// latestTrip returns a trip after its last event.
func (s *store) latestTrip(id trips.TripID) (trips.Trip, bool) {
	all := s.events[id]
	if len(all) == 0 {
		return trips.Trip{}, false
	}
	return all[len(all)-1].Trip, true
}
