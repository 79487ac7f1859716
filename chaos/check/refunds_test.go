package check_test

import (
	"context"

	"github.com/ridehail/ridehail/alerts"
	"github.com/ridehail/ridehail/payments"
)

// AuditRefunds has nothing to yield: nobody got money back.
func (c *town) AuditRefunds(context.Context, func(payments.Refund) error) error { return nil }

func (c *town) AuditAlerts(_ context.Context, yield func(alerts.Alert) error) error {
	for _, a := range c.calls {
		if err := yield(a); err != nil {
			return err
		}
	}
	return nil
}
