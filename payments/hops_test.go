package payments_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// tracedBooks has one completed trip and keeps its charge.
type tracedBooks struct {
	payments.Store
	payments.RefundStore
	trip   trips.Trip
	charge payments.Charge
}

func (b *tracedBooks) Trip(context.Context, trips.TripID) (trips.Trip, error) { return b.trip, nil }

func (b *tracedBooks) Charge(context.Context, trips.TripID) (payments.Charge, error) {
	return payments.Charge{}, trips.ErrNotFound
}

func (b *tracedBooks) RecordCharge(_ context.Context, c payments.Charge) (payments.Charge, error) {
	b.charge = c
	return c, nil
}

// newTracedSettler returns a settler of a completed trip whose hops are recorded,
// at a provider.
func newTracedSettler(t *testing.T, ratio float64, provider http.HandlerFunc) (*payments.Settler, *tracing.Ring, trips.TripID) {
	t.Helper()
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: "n1", Ratio: ratio, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(provider)
	transport := &http.Transport{}
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close(); _ = tracer.Close(context.Background()) })

	id := trips.TripID(uuid.NewString())
	books := &tracedBooks{trip: trips.Trip{ID: id, Rider: "ada", State: trips.Completed, EndedAt: time.Now(),
		Quote: trips.Quote{Fare: trips.Money{Minor: 100, Currency: "NGN"}}}}
	s := payments.NewSettler(books, server.URL, "sk_test", time.Now)
	s.Provider = &payments.HTTPProvider{URL: server.URL, Secret: "sk_test", Client: &http.Client{Transport: tracer.Transport(transport)}}
	s.Tracer, s.Backoff = tracer, 5*time.Millisecond
	return s, tracer.Ring(), id
}

// paid is the provider's answer for a payment.
func paid(id trips.TripID) string {
	return `{"status":true,"data":{"id":7,"status":"success","reference":"` + payments.ChargeReference(id) + `","amount":100,"currency":"NGN"}}`
}

func TestAProviderThatFailsTwiceIsThreeCallsWithTheirReasons(t *testing.T) {
	asked := 0
	var id trips.TripID
	s, ring, trip := newTracedSettler(t, 1, func(w http.ResponseWriter, r *http.Request) {
		switch asked++; asked {
		case 1, 2: // the charge, and then its verification
			w.WriteHeader(http.StatusBadGateway)
		default:
			_, _ = w.Write([]byte(paid(id)))
		}
	})
	id = trip
	if _, err := s.SettleTrip(t.Context(), id); err != nil {
		t.Fatal(err)
	}

	var codes []string
	for _, h := range ring.HopsOf(string(id)) {
		if h.Name != "provider_call" {
			if h.Name != "budget_wait" || h.Code != "backoff" || h.Failed {
				t.Errorf("hop %+v", h)
			}
			continue
		}
		codes = append(codes, h.Code)
		if h.Failed != (h.Code == "unavailable") || h.Phase != tracing.Charge || !strings.HasPrefix(h.Reason, "Call ") {
			t.Errorf("call %+v", h)
		}
	}
	if got := strings.Join(codes, " "); got != "unavailable unavailable verified" {
		t.Errorf("calls %s", got)
	}
}

func TestTheProviderIsToldTheTripsTrace(t *testing.T) {
	headers := make(chan string, 1)
	var id trips.TripID
	provider := func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Get("Traceparent")
		_, _ = w.Write([]byte(paid(id)))
	}
	for ratio, isTold := range map[float64]bool{1: true, 1e-12: false} {
		var s *payments.Settler
		s, _, id = newTracedSettler(t, ratio, provider)
		if _, err := s.SettleTrip(t.Context(), id); err != nil {
			t.Fatal(err)
		}

		header, prefix := <-headers, "00-"+strings.ReplaceAll(string(id), "-", "")+"-"
		if isTold && (!strings.HasPrefix(header, prefix) || !strings.HasSuffix(header, "-01")) || !isTold && header != "" {
			t.Errorf("of trip %s, sampled at %v, the provider hears %q", id, ratio, header)
		}
	}
}

func TestABudgetThatIsUsedUpSaysSo(t *testing.T) {
	s, ring, id := newTracedSettler(t, 1, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.Budget = new(payments.Budget)
	for range 8 {
		_, err := s.SettleTrip(t.Context(), id)
		if err == nil {
			t.Fatal("a provider that fails took money")
		}
		if errors.Is(err, payments.ErrProviderDown) {
			break
		}
	}
	for _, h := range ring.HopsOf(string(id)) {
		if h.Name == "budget_wait" && h.Code == "provider_down" && h.Failed {
			return
		}
	}
	t.Errorf("no hop says that the provider is down: %+v", ring.HopsOf(string(id)))
}
