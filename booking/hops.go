package booking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// traceRide is findRide that records the call of the routing service, under the
// id of a quote or a trip.
func (s *Service) traceRide(ctx context.Context, id string, phase tracing.Phase, from, to location.Point) (trips.Quote, []location.Point, error) {
	if !s.cfg.Tracer.Samples(id) {
		return s.findRide(ctx, from, to)
	}
	began := s.cfg.Tracer.Now()
	way, path, err := s.findRide(s.cfg.Tracer.ContextOf(ctx, id), from, to)
	s.recordCall(id, tracing.RouteCall.Hop(phase, 0), way, err, began)
	return way, path, err
}

// FindPickup is FindRoute for the way of a car to the pickup of a quote.
func (s *Service) FindPickup(ctx context.Context, quote string, car, pickup location.Point) (trips.Quote, error) {
	if !s.cfg.Tracer.Samples(quote) {
		way, _, err := s.FindRoute(ctx, car, pickup)
		return way, err
	}
	began := s.cfg.Tracer.Now()
	way, _, err := s.FindRoute(s.cfg.Tracer.ContextOf(ctx, quote), car, pickup)
	s.recordCall(quote, tracing.PickupCall.Hop(tracing.Quote, 0), way, err, began)
	return way, err
}

// recordCall records a call of the routing service that ends now. A straight
// line means that the service gave no answer.
func (s *Service) recordCall(id string, h tracing.Hop, way trips.Quote, err error, began time.Time) {
	h.Code = way.Source
	switch {
	case errors.Is(err, routing.ErrOutsideCity) || errors.Is(err, routing.ErrNoRoute) || errors.Is(err, ErrSamePlace):
		h.Code, h.Reason = "refused", err.Error()
	case err != nil:
		h.IsFailure, h.Code, h.Reason = true, "cancelled", err.Error()
	case way.Source == routing.SourceStraight:
		h.Reason = "A straight line stands in: the routing service did not answer in time, or is left alone for a moment."
	}
	s.cfg.Tracer.Record(id, h, began, s.cfg.Tracer.Now())
}

// traceSigning records how a quote is priced and signed.
func (s *Service) traceSigning(id string, sign func() (string, pricing.Quote, error)) (string, pricing.Quote, error) {
	if !s.cfg.Tracer.Samples(id) {
		return sign()
	}
	began := s.cfg.Tracer.Now()
	token, q, err := sign()
	h := tracing.SurgeRead.Hop(tracing.Quote, 0)
	if h.IsFailure = err != nil; err != nil {
		h.Code, h.Reason = "internal", err.Error()
	} else {
		h.Reason = fmt.Sprintf("The price is %.1f times the tariff.", q.Multiplier.Factor())
	}
	s.cfg.Tracer.Record(id, h, began, s.cfg.Tracer.Now())
	return token, q, err
}
