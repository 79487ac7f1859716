package check_test

import (
	"context"
	"fmt"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

func (c *town) AuditRefunds(_ context.Context, yield func(payments.Refund) error) error {
	for _, r := range c.refunds {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *town) AuditAlerts(_ context.Context, yield func(sos.Alert) error) error {
	for _, a := range c.calls {
		if err := yield(a); err != nil {
			return err
		}
	}
	return nil
}

// getsBack gives a fare back.
func (c *town) getsBack(t trips.Trip) {
	n := int64(len(c.ledger) + 1)
	c.ledger = append(c.ledger, map[string]any{"id": n, "kind": "refund", "reference": payments.ChargeReference(t.ID),
		"status": "processed", "amount": t.Quote.Fare.Minor, "currency": t.Quote.Fare.Currency})
	c.refunds = append(c.refunds, payments.Refund{Trip: t.ID, Reference: payments.RefundReference(t.ID),
		Amount: t.Quote.Fare, State: payments.RefundDone, ProviderID: fmt.Sprint(n), RequestedAt: c.now, EndedAt: c.now})
}

// callsForHelp is a call that an operator sees.
func (c *town) callsForHelp(who trips.Actor, t trips.Trip, id, alert string) {
	r := journal.Record{What: journal.Invoke, Command: id, Kind: journal.SOS, Trip: string(t.ID)}
	c.tell(who, r)
	c.calls = append(c.calls, sos.Alert{ID: alert, Trip: t.ID, From: who, ClientID: id, At: c.now, NotifiedAt: c.now})
	r.What = journal.OK
	c.tell(who, r)

	ack := journal.Record{What: journal.Invoke, Command: "o-" + alert, Kind: journal.Acknowledge, Alert: alert, Trip: string(t.ID)}
	c.tell(ops, ack)
	c.calls[len(c.calls)-1].AckedAt = c.now
	ack.What = journal.OK
	c.tell(ops, ack)
	c.tell(who, journal.Record{What: journal.Seen, Client: id, Trip: string(t.ID)})
}
