package payments_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/trips"
)

// openBooks hold no charge, and a refund under way of every trip.
type openBooks struct {
	payments.Store
	payments.RefundStore
}

func (openBooks) Charge(context.Context, trips.TripID) (payments.Charge, error) {
	return payments.Charge{}, trips.ErrNotFound
}

func (openBooks) Refund(context.Context, trips.TripID) (payments.Refund, error) {
	return payments.Refund{State: payments.RefundRequested}, nil
}

// lastJob is a queue that keeps the newest job.
type lastJob struct{ id string }

func (q *lastJob) EnqueueJob(_ context.Context, _, id string, _ []byte) error {
	q.id = id
	return nil
}

// FuzzASignedEventIsAnsweredWith200 signs anything. The provider would repeat
// for days what is answered otherwise.
func FuzzASignedEventIsAnsweredWith200(f *testing.F) {
	f.Add([]byte(chargeSuccess("done", ended)))
	f.Add([]byte(`{"event":"refund.processed","data":{"transaction_reference":"trip-done"}}`))
	f.Add([]byte(`{"event":"customer.created","data":[1,"x"]}`))
	f.Add([]byte(`{"event":1,"data":null}`))

	f.Fuzz(func(t *testing.T, body []byte) {
		books, queue := openBooks{}, new(lastJob)
		h := payments.NewWebhook(payments.Webhook{Secret: "sk", Charges: books, Refunds: books, Queue: queue,
			Now: func() time.Time { return ended }, Log: slog.New(slog.DiscardHandler)}, nil)

		answer := httptest.NewRecorder()
		ask := httptest.NewRequest(http.MethodPost, "/v1/payments/webhook", bytes.NewReader(body))
		ask.Header.Set(payments.SignatureHeader, provider.SignWebhook("sk", body))
		h.ServeHTTP(answer, ask)
		if answer.Code != http.StatusOK {
			t.Errorf("%q is answered with %d", body, answer.Code)
		}
	})
}

// answering is a provider that answers every request alike.
type answering struct {
	status int
	body   string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

// FuzzWhatTheProviderAnswers reads anything as a provider's answers. None is
// taken for a payment under another reference, or for a refund of another one.
func FuzzWhatTheProviderAnswers(f *testing.F) {
	f.Add(200, `{"status":true,"data":{"id":7,"status":"success","reference":"trip-a","amount":1,"currency":"NGN"}}`)
	f.Add(200, `{"status":true,"data":[{"id":7,"transaction":7,"status":"processed","amount":1,"currency":"NGN"}]}`)
	f.Add(200, `{"status":true,"data":{"id":7,"transaction":{"id":7},"status":"pending"}}`)
	f.Add(400, `{"status":false,"code":"duplicate_reference"}`)
	f.Add(502, `<html>`)

	f.Fuzz(func(t *testing.T, status int, body string) {
		p := &payments.HTTPProvider{URL: "http://provider", Client: &http.Client{Transport: answering{status, body}}}
		for name, ask := range map[string]func() (payments.Payment, error){
			"charge": func() (payments.Payment, error) {
				return p.Charge(t.Context(), payments.ChargeOrder{Reference: "trip-a"})
			},
			"verify": func() (payments.Payment, error) { return p.VerifyCharge(t.Context(), "trip-a") },
		} {
			got, err := ask()
			if err == nil && (status != http.StatusOK || got.Reference != "trip-a" || got.ID == "") {
				t.Errorf("%s: %d %q is taken for %+v", name, status, body, got)
			}
		}

		_, _ = p.CreateRefund(t.Context(), payments.RefundOrder{Transaction: "7"})
		if all, err := p.ListRefunds(t.Context(), "7"); err == nil && len(all) > 0 && (status != http.StatusOK || !strings.Contains(body, "7")) {
			t.Errorf("%d %q is taken for %+v", status, body, all)
		}
	})
}
