package provider

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// receivedWebhook is a webhook as it arrived.
type receivedWebhook struct{ body, signature string }

// startListener answers webhooks, the first few with 500, and passes all on.
func startListener(t *testing.T, failures int) (url string, got chan receivedWebhook) {
	t.Helper()
	got = make(chan receivedWebhook, 100)
	var all atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if all.Add(1) <= int64(failures) {
			w.WriteHeader(http.StatusInternalServerError)
		}
		got <- receivedWebhook{string(body), r.Header.Get("X-Paystack-Signature")}
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

// startEmulator returns an emulator that reports to url, and a function that
// makes a charge under a reference.
func startEmulator(t *testing.T, url string, f Faults) (*Emulator, func(reference string)) {
	t.Helper()
	e := NewEmulator(Config{Secret: "sk", Webhook: url, Faults: f}, openLedger(t, ""))
	t.Cleanup(e.Close)
	return e, func(reference string) {
		t.Helper()
		sendRequest(t, e, "POST", "/transaction/charge_authorization",
			fmt.Sprintf(`{"email":"e","amount":5,"currency":"NGN","authorization_code":"a","reference":%q}`, reference), 200)
	}
}

func sendRequest(t *testing.T, e *Emulator, method, path, body string, status int) string {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer sk")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != status {
		t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.String()
}

// readReferences returns the references of the next n events.
func readReferences(t *testing.T, got chan receivedWebhook, n int) (refs []string) {
	t.Helper()

	for range n {
		h := <-got
		var ev struct {
			Data struct{ Reference string }
		}
		if err := json.Unmarshal([]byte(h.body), &ev); err != nil || h.signature != SignWebhook("sk", []byte(h.body)) {
			t.Errorf("%v: %+v", err, h)
		}
		refs = append(refs, ev.Data.Reference)
	}
	return refs
}

func TestWhatWasDoneIsToldSignedAndInOrder(t *testing.T) {
	url, got := startListener(t, 0)
	_, charge := startEmulator(t, url, Faults{})
	charge("a")
	charge("b")
	if refs := readReferences(t, got, 2); !slices.Equal(refs, []string{"a", "b"}) {
		t.Error(refs)
	}
}

func TestWebhooksComeTwiceOrLateOrAfterTheNextWhenTheyShould(t *testing.T) {
	for name, c := range map[string]struct {
		faults Faults
		want   []string
	}{
		"twice":                    {Faults{DuplicateHook: 1}, []string{"a", "a", "b", "b"}},
		"late":                     {Faults{LateHook: 1, LateBy: time.Millisecond}, []string{"a", "b"}},
		"after the next":           {Faults{ReorderHook: .5, Seed: 7, LateBy: time.Hour}, []string{"b", "a"}},
		"after the next, or never": {Faults{ReorderHook: 1, LateBy: time.Millisecond}, []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			url, got := startListener(t, 0)
			_, charge := startEmulator(t, url, c.faults)
			charge("a")
			charge("b")
			if refs := readReferences(t, got, len(c.want)); !slices.Equal(refs, c.want) {
				t.Error(refs)
			}
		})
	}
}

func TestEventsOfOtherKindsComeInBetween(t *testing.T) {
	url, got := startListener(t, 0)
	_, charge := startEmulator(t, url, Faults{ForeignHook: 1})
	for _, reference := range []string{"a", "b", "c"} {
		charge(reference)
		readReferences(t, got, 1)

		h := <-got
		if !slices.Contains(foreignEvents, h.body) || h.signature != SignWebhook("sk", []byte(h.body)) {
			t.Errorf("after %s came %+v", reference, h)
		}
	}
}

func TestAWebhookThatIsNotTakenIsSentAgain(t *testing.T) {
	url, got := startListener(t, 1)
	_, charge := startEmulator(t, url, Faults{})
	charge("a")
	if refs := readReferences(t, got, 2); !slices.Equal(refs, []string{"a", "a"}) {
		t.Error(refs)
	}
}

func TestARefundIsToldListedAndMadeOnce(t *testing.T) {
	url, got := startListener(t, 0)
	e, charge := startEmulator(t, url, Faults{})
	charge("a")
	sendRequest(t, e, "POST", "/refund", `{"transaction":"a","amount":6}`, 400)
	sendRequest(t, e, "POST", "/refund", `{"transaction":"b"}`, 404)
	sendRequest(t, e, "POST", "/refund", `{"transaction":"a","amount":2}`, 200)
	if answer := sendRequest(t, e, "POST", "/refund", `{"transaction":"a"}`, 200); !strings.Contains(answer, `"pending"`) {
		t.Error(answer)
	}
	if answer := sendRequest(t, e, "POST", "/refund", `{"transaction":"a"}`, 400); !strings.Contains(answer, "transaction_reversed") {
		t.Error(answer)
	}
	if list := sendRequest(t, e, "GET", "/refund?transaction=1", "", 200); strings.Count(list, `"processed"`) != 2 {
		t.Error(list)
	}

	sendRequest(t, e, "GET", "/refund?transaction=a", "", 400)
	if answer := sendRequest(t, e, "GET", "/transaction/verify/a", "", 200); !strings.Contains(answer, `"reversed"`) {
		t.Error(answer)
	}
	readReferences(t, got, 1)

	for _, amount := range []string{`"amount":"2"`, `"amount":"3"`} {
		if h := <-got; !strings.Contains(h.body, "refund.processed") || !strings.Contains(h.body, amount) {
			t.Error(h.body)
		}
	}
}

func TestALedgerReadAgainKnowsWhatWasGivenBack(t *testing.T) {
	path := t.TempDir() + "/ledger.jsonl"
	l := openLedger(t, path)
	if _, err := l.Append(chargeEntry("a", 5)); err != nil {
		t.Fatal(err)
	}

	for _, status := range []string{"failed", "processed"} {
		if _, err := l.Refund(Entry{Reference: "a", Status: status}); err != nil {
			t.Fatal(err)
		}
	}

	_ = l.Close()
	l = openLedger(t, path)
	defer l.Close()
	if _, err := l.Refund(Entry{Reference: "a", Status: "processed"}); err != ErrReversed {
		t.Error(err)
	}
	if e, _ := l.FindCharge("a"); e.Status != "reversed" || len(l.RefundsOf(1)) != 2 {
		t.Errorf("%+v, %+v", e, l.RefundsOf(1))
	}
}
