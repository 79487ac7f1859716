package payments_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
)

// answerWith is a provider that answers everything with one body.
func answerWith(t *testing.T, body string) *payments.HTTPProvider {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
	t.Cleanup(func() { server.Client().CloseIdleConnections(); server.Close() })
	return &payments.HTTPProvider{URL: server.URL, Secret: "sk", Client: server.Client()}
}

func TestAnAnswerThatIsNotAboutOurChargeLeavesDoubt(t *testing.T) {
	for name, data := range map[string]string{
		"no id":               `"status":"success","reference":"trip-done","amount":123400,"currency":"NGN"`,
		"an id below 1":       `"id":-4,"status":"success","reference":"trip-done","amount":123400,"currency":"NGN"`,
		"another's reference": `"id":4,"status":"success","reference":"trip-other","amount":123400,"currency":"NGN"`,
		"no reference":        `"id":4,"status":"success","amount":123400,"currency":"NGN"`,
		"not ended":           `"id":4,"status":"ongoing","reference":"trip-done","amount":123400,"currency":"NGN"`,
	} {
		d := newFixture(t, provider.Faults{})
		d.Provider = answerWith(t, `{"status":true,"data":{`+data+`}}`)
		if err := d.HandleJob(t.Context(), "done", nil); err == nil || isPermanent(err) || len(d.charges) != 0 {
			t.Errorf("%s: %v, booked %v", name, err, d.charges)
		}
	}
}

func TestAnotherAmountOrCurrencyIsNeverBooked(t *testing.T) {
	for name, money := range map[string]string{
		"less":             `"amount":123399,"currency":"NGN"`,
		"more":             `"amount":123401,"currency":"NGN"`,
		"another currency": `"amount":123400,"currency":"USD"`,
		"no currency":      `"amount":123400`,
		"a negative one":   `"amount":-123400,"currency":"NGN"`,
	} {
		d := newFixture(t, provider.Faults{})
		d.Provider = answerWith(t, `{"status":true,"data":{"id":4,"status":"success","reference":"trip-done",`+money+`}}`)
		if err := d.HandleJob(t.Context(), "done", nil); !isPermanent(err) || len(d.charges) != 0 {
			t.Errorf("%s: %v, booked %v", name, err, d.charges)
		}
	}
}

func TestAnothersRefundIsNotTakenForOurs(t *testing.T) {
	for name, of := range map[string]string{"another's": `"transaction":77,`, "of no payment": "", "all of it": `"transaction":{"id":1},`} {
		d := newChargedFixture(t, provider.Faults{})
		d.Provider = answerWith(t, `{"status":true,"data":[{"id":9,`+of+`"status":"processed","amount":123400,"currency":"NGN"}]}`)
		_, err := d.Settler.RefundTrip(t.Context(), "done", "by mistake")
		if r, _ := d.memoryStore.Refund(t.Context(), "done"); !errors.Is(err, payments.ErrRefused) || r.State != payments.RefundRequested {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

func TestARefundInAnotherCurrencyIsNotBookedAsDone(t *testing.T) {
	d := newChargedFixture(t, provider.Faults{})
	d.Provider = answerWith(t, `{"status":true,"data":[{"id":9,"transaction":1,"status":"processed","amount":123400,"currency":"USD"}]}`)
	if _, err := d.Settler.RefundTrip(t.Context(), "done", "by mistake"); !isPermanent(err) {
		t.Errorf("got %v", err)
	}
	if r, _ := d.memoryStore.Refund(t.Context(), "done"); r.State != payments.RefundRequested {
		t.Errorf("%+v", r)
	}
}

// TestEventsInTheWrongOrderMoveNoMoney sends an event of a refund before one
// was requested, then one of a charge long settled, then the refund's again
// after it is done.
func TestEventsInTheWrongOrderMoveNoMoney(t *testing.T) {
	e := newWebhookFixture(t, provider.Faults{})
	back := `{"event":"refund.processed","data":{"transaction_reference":"trip-done","amount":123400}}`
	failed := `{"event":"refund.failed","data":{"transaction_reference":"trip-done"}}`
	hear := func(body string) {
		t.Helper()
		if code := e.postEvent(t, body, provider.SignWebhook("sk", []byte(body))); code != http.StatusOK {
			t.Fatal(body, code)
		}
	}

	hear(back) // before there is a charge
	if err := e.HandleJob(t.Context(), "done", nil); err != nil {
		t.Fatal(err)
	}

	hear(back) // before a refund was asked for
	e.checkChargedOnce(t)
	if _, err := e.Settler.RefundTrip(t.Context(), "done", "by mistake"); err != nil && !errors.Is(err, payments.ErrDuplicate) {
		t.Fatal(err)
	}
	e.waitFor(t, func() bool { return e.refunds["done"].State == payments.RefundDone })
	e.stopProvider()
	jobs := e.jobs.countQueued()
	for _, body := range []string{chargeSuccess("done", ended), back, failed, back} {
		hear(body)
	}
	if n := e.jobs.countQueued(); n != jobs {
		t.Errorf("%d jobs for money that is in order", n-jobs)
	}
	e.checkRefundedOnce(t)
}
