package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestTheProviderNeedsNoTokenAndMaySendMoreThanAPhone(t *testing.T) {
	var heard string
	r := newTestAPI(t, func(cfg *Config, _ *booking.Config) {
		cfg.Webhook = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			heard = string(body)
		})
	})

	body := strings.Repeat("x", 5*maxBody)
	if got := r.callAPI(trips.Actor{}, "POST", webhookPath, body); got.Code != http.StatusOK || heard != body {
		t.Errorf("%d, heard %d bytes", got.Code, len(heard))
	}

	wantProblem(t, r.callAPI(trips.Actor{}, "GET", webhookPath, ""), http.StatusMethodNotAllowed, wire.CodeMethod)
}

func TestWithoutAProviderThereIsNoEndpointForOne(t *testing.T) {
	r := newTestAPI(t, nil)
	wantProblem(t, r.callAPI(trips.Actor{}, "POST", webhookPath, "{}"), http.StatusNotFound, wire.CodeNoSuchEndpoint)
}

func TestAReceiptTellsWhatWasGivenBack(t *testing.T) {
	c := payments.Charge{Trip: "t", Reference: "trip-t", Amount: trips.Money{Minor: 5, Currency: "NGN"}, At: time.UnixMilli(7)}
	back := c
	back.Refunded = c.Amount

	text, err := json.Marshal(convertReceipts([]payments.Charge{c, back}))
	want := `[{"trip_id":"t","reference":"trip-t","amount":{"minor":5,"currency":"NGN"},"at_ms":7},` +
		`{"trip_id":"t","reference":"trip-t","amount":{"minor":5,"currency":"NGN"},"at_ms":7,` +
		`"refunded":{"minor":5,"currency":"NGN"}}]`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}
