package payments

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// What a provider is asked, in codes of hops.
const (
	askVerify = "verify"
	askCharge = "charge"
)

// tripHops records the hops of one trip's charge. It is nil for a trip that is
// not sampled.
type tripHops struct {
	tracer *tracing.Tracer
	trip   string
	calls  int // of the provider so far
}

func (s *Settler) hopsOf(id trips.TripID) *tripHops {
	if !s.Tracer.Samples(string(id)) {
		return nil
	}
	return &tripHops{tracer: s.Tracer, trip: string(id)}
}

// askProvider calls the provider and records the call.
func (h *tripHops) askProvider(ctx context.Context, what string, ask func(context.Context) (Payment, error)) (Payment, error) {
	if h == nil {
		return ask(ctx)
	}
	h.calls++
	began := h.tracer.Now()
	p, err := ask(h.tracer.ContextOf(ctx, h.trip))

	call := tracing.ProviderCall.Hop(tracing.Charge, 0)
	call.Code, call.Reason, call.IsFailure = explainCall(what, err)
	call.Reason = fmt.Sprintf("Call %d, to %s: %s", h.calls, what, call.Reason)
	h.tracer.Record(h.trip, call, began, h.tracer.Now())
	return p, err
}

// explainCall returns a short code and a sentence for how the provider answered,
// and whether that is a failure. A reference that it does not know, or knows
// already, is an answer.
func explainCall(what string, err error) (code, reason string, isFailure bool) {
	timeout := net.Error(nil)
	switch {
	case err == nil && what == askVerify:
		return "verified", "the money had been taken.", false
	case err == nil:
		return "charged", "the money was taken.", false
	case errors.Is(err, ErrUnknownReference):
		return "unknown_reference", "nothing was taken under this reference, so that it may be charged.", false
	case errors.Is(err, ErrDuplicate):
		return "duplicate", "it has this reference, and must be asked what became of it.", false
	case errors.Is(err, ErrDeclined):
		return "declined", err.Error(), true
	case errors.Is(err, ErrRefused):
		return "refused", err.Error(), true
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return "timeout", "no answer in time; the money may have been taken. " + err.Error(), true
	}
	return "unavailable", err.Error(), true
}

// wait waits, and records it if it took time or ended in vain.
func (h *tripHops) wait(code, reason string, wait func() error) error {
	if h == nil {
		return wait()
	}
	began := h.tracer.Now()
	err := wait()
	ended := h.tracer.Now()
	if err == nil && ended.Sub(began) < time.Millisecond {
		return nil // it was allowed at once
	}

	hop := tracing.BudgetWait.Hop(tracing.Charge, 0)
	hop.Code, hop.Reason = code, reason
	if hop.IsFailure = err != nil; errors.Is(err, ErrProviderDown) {
		hop.Code, hop.Reason = "provider_down", "The provider fails and the node's retries are used up: the trip waits until it answers."
	} else if err != nil {
		hop.Reason += " It ended before its time: " + err.Error()
	}
	h.tracer.Record(h.trip, hop, began, ended)
	return err
}
