package payments_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/payments"
)

// scripted is a provider whose calls end as told.
type scripted struct {
	payments.Provider
	errs []error
}

func (s *scripted) next() error {
	err := s.errs[0]
	s.errs = s.errs[1:]
	return err
}

func (s *scripted) Charge(context.Context, payments.ChargeOrder) (payments.Payment, error) {
	return payments.Payment{}, s.next()
}

func (s *scripted) VerifyCharge(context.Context, string) (payments.Payment, error) {
	return payments.Payment{}, s.next()
}

func TestEachCallOfTheProviderIsCountedByItsOutcome(t *testing.T) {
	r := prometheus.NewRegistry()
	s := &scripted{errs: []error{nil, errors.New("no answer"), payments.ErrDuplicate, payments.ErrDeclined, nil, payments.ErrUnknownReference}}
	p := payments.CountCalls(s, r)
	for range 4 {
		_, _ = p.Charge(t.Context(), payments.ChargeOrder{})
	}
	for range 2 {
		_, _ = p.VerifyCharge(t.Context(), "ride")
	}

	want := `
# HELP ridehail_payments_provider_calls_total Calls of the payment provider, by what became of them: answered, recovered, repeated, unanswered.
# TYPE ridehail_payments_provider_calls_total counter
ridehail_payments_provider_calls_total{outcome="answered"} 3
ridehail_payments_provider_calls_total{outcome="recovered"} 1
ridehail_payments_provider_calls_total{outcome="repeated"} 1
ridehail_payments_provider_calls_total{outcome="unanswered"} 1
# HELP ridehail_payments_provider_calls_under_way Calls of the payment provider that wait for its answer.
# TYPE ridehail_payments_provider_calls_under_way gauge
ridehail_payments_provider_calls_under_way 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
