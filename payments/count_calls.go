package payments

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// CountCalls returns the provider with its calls counted by what became of
// them: answered, recovered (a question found a payment whose answer was lost),
// repeated (the provider had taken the same order before) or unanswered.
func CountCalls(p Provider, r prometheus.Registerer) Provider {
	f := promauto.With(r)
	return countedProvider{Provider: p,
		calls: f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_payments_provider_calls_total",
			Help: "Calls of the payment provider, by what became of them: answered, recovered, repeated, unanswered."}, []string{"outcome"}),
		underWay: f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_payments_provider_calls_under_way",
			Help: "Calls of the payment provider that wait for its answer."})}
}

// countedProvider may be used from many goroutines, as its Provider may.
type countedProvider struct {
	Provider
	calls    *prometheus.CounterVec
	underWay prometheus.Gauge
}

func (p countedProvider) Charge(ctx context.Context, o ChargeOrder) (Payment, error) {
	p.underWay.Inc()
	paid, err := p.Provider.Charge(ctx, o)
	p.countCall("answered", err)
	return paid, err
}

func (p countedProvider) VerifyCharge(ctx context.Context, reference string) (Payment, error) {
	p.underWay.Inc()
	paid, err := p.Provider.VerifyCharge(ctx, reference)
	p.countCall("recovered", err)
	return paid, err
}

func (p countedProvider) CreateRefund(ctx context.Context, o RefundOrder) (ProviderRefund, error) {
	p.underWay.Inc()
	refund, err := p.Provider.CreateRefund(ctx, o)
	p.countCall("answered", err)
	return refund, err
}

func (p countedProvider) ListRefunds(ctx context.Context, paymentID string) ([]ProviderRefund, error) {
	p.underWay.Inc()
	all, err := p.Provider.ListRefunds(ctx, paymentID)
	p.countCall("answered", err)
	return all, err
}

// countCall counts a call that has ended, as outcome if it succeeded. A refusal
// is an answer too.
func (p countedProvider) countCall(outcome string, err error) {
	switch {
	case err == nil:
	case errors.Is(err, ErrDuplicate):
		outcome = "repeated"
	case isAnswer(err), errors.Is(err, ErrUnknownReference):
		outcome = "answered"
	default:
		outcome = "unanswered"
	}
	p.calls.WithLabelValues(outcome).Inc()
	p.underWay.Dec()
}
