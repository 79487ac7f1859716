package payments_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/trips"
)

// webhookFixture receives webhooks and settles the trips they are about.
type webhookFixture struct {
	*fixture
	hook         *payments.Webhook
	registry     *prometheus.Registry
	jobs         *jobRunner
	stopProvider func() // ends the provider and the webhook's server
}

// jobRunner runs jobs one after the other, once each, and ignores their errors.
type jobRunner struct {
	mu     sync.Mutex
	queued []string
	jobs   chan string
}

func (w *jobRunner) EnqueueJob(_ context.Context, _, id string, _ []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued = append(w.queued, id)
	w.jobs <- id
	return nil
}

func (w *jobRunner) countQueued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queued)
}

// newWebhookFixture is a node's webhook behind HTTP, a provider that knows its
// address, and a worker between them.
func newWebhookFixture(t *testing.T, f provider.Faults) *webhookFixture {
	t.Helper()
	registry := prometheus.NewRegistry()
	h := payments.NewWebhook(payments.Webhook{Secret: "sk", Stream: "settlements", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return ended.Add(time.Second) }}, registry)
	node := httptest.NewServer(h)
	t.Cleanup(node.Close)
	d := newFixtureWith(t, provider.Config{Secret: "sk", Webhook: node.URL, Faults: f, Now: h.Now})
	w := &jobRunner{jobs: make(chan string, 1000)}
	h.Charges, h.Refunds, h.Queue = d.memoryStore, d.memoryStore, w

	var busy sync.WaitGroup
	busy.Go(func() {
		for id := range w.jobs {
			// A failure is visible in the store.
			_ = d.HandleJob(context.Background(), id, nil)
		}
	})

	// The queue is closed only after the last webhook.
	t.Cleanup(func() { d.stopEmulator(); node.Close(); close(w.jobs); busy.Wait() })
	return &webhookFixture{fixture: d, hook: h, registry: registry, jobs: w, stopProvider: func() { d.stopEmulator(); node.Close() }}
}

// postEvent posts a body to the webhook and returns the status.
func (e *webhookFixture) postEvent(t *testing.T, body, signature string) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set(payments.SignatureHeader, signature)
	w := httptest.NewRecorder()
	e.hook.ServeHTTP(w, r)
	return w.Code
}

func chargeSuccess(id trips.TripID, at time.Time) string {
	return fmt.Sprintf(`{"event":"charge.success","data":{"id":1,"reference":%q,"amount":1,"paid_at":%q}}`,
		payments.ChargeReference(id), at.Format(time.RFC3339Nano))
}

func TestAChargeWhoseReplyWasLostIsSettledByItsWebhook(t *testing.T) {
	for name, f := range map[string]provider.Faults{"lost reply": {LoseReply: 1}, "500 after": {Error500: 1}} {
		t.Run(name, func(t *testing.T) {
			e := newWebhookFixture(t, f)
			e.MaxTries = 1
			if _, err := e.Settler.SettleTrip(t.Context(), "done"); err == nil {
				t.Fatal("the reply was not lost")
			}
			e.waitFor(t, func() bool { return len(e.charges) == 1 })
			e.checkChargedOnce(t)
		})
	}
}

func TestARefundIsDoneWhenItsWebhookSaysThatItWasProcessed(t *testing.T) {
	e := newWebhookFixture(t, provider.Faults{})
	e.MaxTries = 1
	if err := e.HandleJob(t.Context(), "done", nil); err != nil {
		t.Fatal(err)
	}

	// The job that the charge's own webhook queued may be faster with asking
	// for the refund.
	r, err := e.Settler.RefundTrip(t.Context(), "done", "by mistake")
	if r.State == payments.RefundFailed || (err != nil && !errors.Is(err, payments.ErrDuplicate)) {
		t.Fatalf("%+v, %v", r, err)
	}

	e.waitFor(t, func() bool { return e.refunds["done"].State == payments.RefundDone })
	e.checkRefundedOnce(t)
}

func TestWhatTheProviderDidNotSignIsRefused(t *testing.T) {
	e := newWebhookFixture(t, provider.Faults{})
	body := chargeSuccess("done", ended)
	signature := provider.SignWebhook("sk", []byte(body))
	var decoded map[string]any
	if err := json.Unmarshal([]byte(body), &decoded); err != nil {
		t.Fatal(err)
	}

	reordered, err := json.Marshal(decoded)
	if err != nil || bytes.Equal(reordered, []byte(body)) {
		t.Fatalf("%s, %v", reordered, err)
	}

	for name, c := range map[string]struct{ body, signature string }{
		"forged":           {body, provider.SignWebhook("another key", []byte(body))},
		"no signature":     {body, ""},
		"not hex":          {body, "zz" + signature[2:]},
		"half a signature": {body, signature[:64]},
		"a byte too much":  {body, signature + "00"},
		"an altered byte":  {strings.Replace(body, `"amount":1`, `"amount":2`, 1), signature},
		"a byte appended":  {body + "\n", signature},
		"reordered":        {string(reordered), signature},
		"an empty body":    {"", signature},
	} {
		if code := e.postEvent(t, c.body, c.signature); code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, code)
		}
	}

	e.hook.Secret = ""
	if code := e.postEvent(t, body, provider.SignWebhook("", []byte(body))); code != http.StatusUnauthorized {
		t.Errorf("signed with no key: %d", code)
	}
	if n := e.jobs.countQueued(); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

// postSigned posts a body with its signature and returns what became of it.
func (e *webhookFixture) postSigned(t *testing.T, body string) (code int, outcome string) {
	t.Helper()
	before := e.countOutcomes(t)
	code = e.postEvent(t, body, provider.SignWebhook("sk", []byte(body)))
	for name, n := range e.countOutcomes(t) {
		if n != before[name] {
			outcome += name
		}
	}
	return code, outcome
}

// countOutcomes returns how many webhooks came to each outcome.
func (e *webhookFixture) countOutcomes(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}

	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return counts
}

func TestWhatIsSignedIsLookedAtNoLess(t *testing.T) {
	e := newWebhookFixture(t, provider.Faults{})
	now := e.hook.Now()
	for name, c := range map[string]struct {
		body, outcome string
	}{
		"too old":             {chargeSuccess("done", now.Add(-5*time.Minute-time.Second)), "stale"},
		"from the future":     {chargeSuccess("done", now.Add(5*time.Minute+time.Second)), "stale"},
		"without a time":      {`{"event":"charge.success","data":{"reference":"trip-done"}}`, "stale"},
		"another's reference": {`{"event":"charge.success","data":{"reference":"order-7","paid_at":"2026-01-02T03:04:05Z"}}`, "ignored"},
		"no reference":        {`{"event":"charge.success","data":{}}`, "ignored"},
		"only a prefix":       {`{"event":"charge.success","data":{"reference":"trip-"}}`, "ignored"},
		"a NUL":               {chargeWithReference(`trip-\u0000`, now), "ignored"},
		"a long reference":    {chargeWithReference("trip-"+strings.Repeat("x", 65), now), "ignored"},
		"broken UTF-8":        {chargeWithReference("trip-a\xff", now), "queued"}, // JSON has none: U+FFFD takes its place
		"a refund unasked":    {`{"event":"refund.processed","data":{"transaction_reference":"trip-done","amount":"5"}}`, "ignored"},
		"a refund's NUL":      {`{"event":"refund.processed","data":{"transaction_reference":"trip-\u0000"}}`, "ignored"},
	} {
		if code, outcome := e.postSigned(t, c.body); code != http.StatusOK || outcome != c.outcome {
			t.Errorf("%s: %d, %s, want %s", name, code, outcome, c.outcome)
		}
	}

	if code, outcome := e.postSigned(t, `{"event":"charge.success","x":"`+strings.Repeat("x", 64<<10)+`"}`); code != http.StatusRequestEntityTooLarge || outcome != "refused" {
		t.Errorf("too large: %d, %s", code, outcome)
	}
}

func chargeWithReference(reference string, at time.Time) string {
	return fmt.Sprintf(`{"event":"charge.success","data":{"reference":"%s","paid_at":%q}}`, reference, at.Format(time.RFC3339Nano))
}

// What is not answered with 200 comes again for three days, and would be no
// better then.
func TestWhateverTheProviderSignsIsHeardOnce(t *testing.T) {
	e := newWebhookFixture(t, provider.Faults{})
	for outcome, bodies := range map[string][]string{
		"ignored": {
			`{"event":"transfer.success","data":{"reference":"trip-done"}}`,
			`{"event":"invoice.update","data":[1,2,{"reference":"trip-done"}]}`,
			`{"event":"subscription.create","data":7}`, `{"event":"customeridentification.success","data":"trip-done"}`,
			`{"event":"charge.dispute.create","data":{"paid_at":"noon","created_at":5,"reference":[]}}`,
			`{"event":"charge.failed","data":null}`, `{"event":"paymentrequest.pending"}`, `{}`, `{"event":""}`, `{"event":null,"data":{}}`,
			`{"event":"a\u0000b","data":1e999999}`, `{"event":"x","data":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
			`{"event":"charge.success","event":"transfer.failed","data":[]}`, ` {"event":"x"} `, `null`,
			`{"event":"refund.processed","data":{"transaction_reference":"trip-none","created_at":"noon","amount":[]}}`,
		},
		"unreadable": {
			"", " ", "ride", "[]", "7", `"charge.success"`, `{"event":5}`, `{"event":["charge.success"]}`, "\xef\xbb\xbf{}",
			`{"event":"x"}{"event":"y"}`, `{"event":"x"} garbage`, `{"event":"x","data":`, "\x00", "{\x00}", strings.Repeat("[", 60_000),
			`{"event":"charge.success"}`, `{"event":"charge.success","data":[]}`, `{"event":"charge.success","data":5}`,
			`{"event":"charge.success","data":{"reference":7}}`, `{"event":"charge.success","data":{"reference":"trip-done","paid_at":"noon"}}`,
			`{"event":"refund.failed","data":"trip-done"}`, `{"event":"refund.pending","data":{"transaction_reference":{}}}`,
		},
	} {
		for _, body := range bodies {
			if code, got := e.postSigned(t, body); code != http.StatusOK || got != outcome {
				t.Errorf("%.80q: %d, %s, want %s", body, code, got, outcome)
			}
			if code := e.postEvent(t, body, provider.SignWebhook("guessed", []byte(body))); code != http.StatusUnauthorized {
				t.Errorf("%.80q, signed with another key: %d", body, code)
			}
		}
	}

	if n := e.jobs.countQueued(); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

// awayStore is a database that does not answer.
type awayStore struct {
	payments.Store
	payments.RefundStore
}

func (awayStore) Charge(context.Context, trips.TripID) (payments.Charge, error) {
	return payments.Charge{}, errors.New("connection refused")
}

func (awayStore) Refund(context.Context, trips.TripID) (payments.Refund, error) {
	return payments.Refund{}, errors.New("connection refused")
}

func TestAnEventComesAgainWhileTheDatabaseIsAway(t *testing.T) {
	e := newWebhookFixture(t, provider.Faults{})
	e.hook.Charges, e.hook.Refunds = awayStore{}, awayStore{}
	for _, body := range []string{chargeSuccess("done", ended), `{"event":"refund.processed","data":{"transaction_reference":"trip-done"}}`} {
		if code, outcome := e.postSigned(t, body); code != http.StatusServiceUnavailable || outcome != "failed" {
			t.Errorf("%s: %d, %s", body, code, outcome)
		}
	}
}

func TestAnEventThatIsPlayedAgainDoesNothingMore(t *testing.T) {
	e := newWebhookFixture(t, provider.Faults{})
	body := chargeSuccess("done", ended)
	signature := provider.SignWebhook("sk", []byte(body))
	for range 3 {
		// Nothing is settled yet: each event leads to a job, and the provider
		// charges once.
		if code := e.postEvent(t, body, signature); code != http.StatusOK {
			t.Fatal(code)
		}
	}

	e.waitFor(t, func() bool { return len(e.charges) == 1 })
	e.stopProvider()
	jobs := e.jobs.countQueued()

	for range 3 {
		if code := e.postEvent(t, body, signature); code != http.StatusOK {
			t.Fatal(code)
		}
	}

	if n := e.jobs.countQueued(); n > jobs {
		t.Errorf("%d jobs for a settled trip", n-jobs)
	}
	e.hook.Now = func() time.Time { return ended.Add(time.Hour) }
	if code, outcome := e.postSigned(t, body); code != http.StatusOK || outcome != "stale" {
		t.Errorf("an hour later: %d, %s", code, outcome)
	}
	e.checkChargedOnce(t)
}

func TestAnEventAboutACancelledTripTakesNothing(t *testing.T) {
	e := newWebhookFixture(t, provider.Faults{})
	body := chargeSuccess("off", ended)
	if code := e.postEvent(t, body, provider.SignWebhook("sk", []byte(body))); code != http.StatusOK {
		t.Fatal(code)
	}
	if _, err := e.Settler.SettleTrip(t.Context(), "off"); !isPermanent(err) || len(e.ledger.Entries()) != 0 {
		t.Errorf("%v; ledger %+v", err, e.ledger.Entries())
	}
}

// TestSumsAreEqualAfterEveryKindOfTrouble has each trip handled once by a
// worker with little patience, then only webhooks, which come twice, late and
// out of order, then the reconciler.
func TestSumsAreEqualAfterEveryKindOfTrouble(t *testing.T) {
	const n = 60
	e := newWebhookFixture(t, provider.Faults{Seed: 5, LoseReply: .2, Error500: .2, Hang: .1, HangFor: 30 * time.Second,
		DuplicateHook: .3, LateHook: .3, LateBy: 20 * time.Millisecond, ReorderHook: .3})

	// Verify before each charge, as after a restart.
	e.MaxTries, e.FreshFor = 1, time.Nanosecond
	e.Provider.(*payments.HTTPProvider).Timeout = 100 * time.Millisecond
	fares := int64(123_400)
	var crowd sync.WaitGroup

	for i := range n {
		id := trips.TripID(fmt.Sprint("t", i))
		fares += int64(1000 + i)
		e.mu.Lock()
		e.trips[id] = completedTrip(id, int64(1000+i))
		e.mu.Unlock()
	}

	e.mu.Lock()
	var ids []string
	for id := range e.trips {
		ids = append(ids, string(id))
	}
	e.mu.Unlock()

	for part := range 4 {
		crowd.Go(func() {
			for i := part; i < len(ids); i += 4 {
				// Webhooks and the reconciler make up for an error.
				_ = e.HandleJob(t.Context(), ids[i], nil)
			}
		})
	}

	crowd.Wait()
	taken := 0
	for _, entry := range e.ledger.Entries() {
		if entry.Status == "success" {
			taken++
		}
	}

	// Webhooks alone settle the rest of what was taken.
	e.waitFor(t, func() bool { return len(e.charges) >= taken })
	r := &payments.Reconciler{Charges: e.memoryStore, Refunds: e.memoryStore, Queue: e.jobs, Stream: "settlements", Grace: time.Millisecond,
		MaxWait: time.Millisecond, Now: func() time.Time { return time.Now().AddDate(1, 0, 0) }, Log: slog.New(slog.DiscardHandler)}
	for settled := 0; settled <= n; {
		if _, err := r.EnqueueDue(t.Context()); err != nil {
			t.Fatal(err)
		}

		select { // a few jobs at a time
		case <-e.changed:
		case <-time.After(50 * time.Millisecond):
		}

		e.mu.Lock()
		settled = len(e.charges)
		e.mu.Unlock()
	}

	e.checkSums(t, n+1, fares)
}

// checkSums compares the store's and the provider's sums with the fares.
func (e *webhookFixture) checkSums(t *testing.T, n int, fares int64) {
	t.Helper()
	var booked, took int64
	e.mu.Lock()
	defer e.mu.Unlock()

	for _, c := range e.charges {
		booked += c.Amount.Minor
	}
	for _, entry := range e.ledger.Entries() {
		took += entry.Amount
	}
	if len(e.charges) != n || len(e.ledger.Entries()) != n || booked != fares || took != fares {
		t.Errorf("%d charges of %d in the books, %d of %d at the provider; want %d of %d", len(e.charges), booked,
			len(e.ledger.Entries()), took, n, fares)
	}
	if c, charged := e.charges["off"]; charged {
		t.Errorf("a cancelled trip was charged: %+v", c)
	}
}

func FuzzAnythingUnsignedIsRefused(f *testing.F) {
	f.Add([]byte(chargeSuccess("done", ended)), "00")
	f.Add([]byte("{}"), "")

	f.Fuzz(func(t *testing.T, body []byte, signature string) {
		// Without a store, an event that gets past the signature panics.
		h := payments.NewWebhook(payments.Webhook{Secret: "sk", Log: slog.New(slog.DiscardHandler)}, prometheus.NewRegistry())
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set(payments.SignatureHeader, signature)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code == http.StatusOK && signature != provider.SignWebhook("sk", body) {
			t.Errorf("heard %q", body)
		}
	})
}
