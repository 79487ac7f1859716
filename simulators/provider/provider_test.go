package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openLedger(t *testing.T, path string) *Ledger {
	l, err := OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func chargeEntry(ref string, amount int64) Entry {
	return Entry{Reference: ref, Amount: amount, Currency: "NGN", Status: "success"}
}

func TestTheProviderCountsWhatItIsAskedAboutCharges(t *testing.T) {
	e := NewEmulator(Config{Secret: "s"}, openLedger(t, ""))
	ask := func(path string) string {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer s")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return strings.TrimSpace(w.Body.String())
	}

	ask("/transaction/verify/none")
	ask("/healthz")
	ask("/refund")
	if got := ask("/calls"); got != `{"calls":1}` {
		t.Errorf("it counted %s", got)
	}
}

// The client sees which answers it did not get. It asks what became of those
// charges, and sends them once more.
func TestTheProviderCountsTheAnswersThatItsClientMisses(t *testing.T) {
	counts := new(Counts)
	server := httptest.NewServer(NewEmulator(Config{Secret: "s", Faults: Faults{Seed: 3, LoseReply: 0.3}, Counts: counts}, openLedger(t, "")))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	call := func(method, path, body string) error {
		r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer s")
		res, err := client.Do(r)
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	charge := func(i int) error {
		return call(http.MethodPost, "/transaction/charge_authorization", fmt.Sprintf(
			`{"email":"a@b.c","amount":100,"currency":"NGN","authorization_code":"x","reference":"r%d"}`, i))
	}

	missed := int64(0)
	for i := range 40 {
		if charge(i) == nil {
			continue
		}
		missed++
		for _, err := range []error{call(http.MethodGet, fmt.Sprintf("/transaction/verify/r%d", i), ""), charge(i)} {
			if err != nil {
				t.Error(err)
			}
		}
	}

	if lost := counts.AnswersLost.Load(); missed == 0 || lost != missed ||
		counts.ChargesRepeated.Load() != missed || counts.Calls.Load() != 40+2*missed {
		t.Errorf("%d answers were missed; the provider counted %d lost, %d repeated, %d calls", missed, lost, counts.ChargesRepeated.Load(), counts.Calls.Load())
	}
}

func TestALedgerReadAgainKnowsItsReferencesAndForgetsATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	l := openLedger(t, path)
	for i := range 3 {
		if _, err := l.Append(chargeEntry(fmt.Sprint("ref", i), 100)); err != nil {
			t.Fatal(err)
		}
	}

	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}

	_, _ = f.WriteString(`{"id":4,"refer`)
	_ = f.Close()

	l = openLedger(t, path)
	if _, err := l.Append(chargeEntry("ref1", 100)); !errors.Is(err, ErrDuplicate) {
		t.Errorf("same reference: %v", err)
	}
	if _, err := l.Append(chargeEntry("ref1", 200)); !errors.Is(err, ErrMismatch) {
		t.Errorf("same reference, other amount: %v", err)
	}
	if e, err := l.Append(chargeEntry("ref9", 100)); err != nil || e.ID != 4 {
		t.Errorf("new reference: %+v, %v", e, err)
	}

	_ = l.Close()
	l = openLedger(t, path)
	if n := len(l.Entries()); n != 4 {
		t.Errorf("%d entries", n)
	}
	_ = l.Close()
}

func TestALedgerWithRubbishInTheMiddleIsNotOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	if err := os.WriteFile(path, []byte("rubbish\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLedger(path); err == nil {
		t.Error("opened")
	}
}

func TestManyAtOnceUnderOneReferencePayOnce(t *testing.T) {
	l := openLedger(t, filepath.Join(t.TempDir(), "ledger.jsonl"))
	defer l.Close()

	var crowd sync.WaitGroup
	for range 32 {
		crowd.Go(func() { _, _ = l.Append(chargeEntry("one", 5)) })
	}
	crowd.Wait()
	if n := len(l.Entries()); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestBadRequestsAreNamedAndTakeNothing(t *testing.T) {
	l := openLedger(t, "")
	e := NewEmulator(Config{Secret: "sk"}, l)
	good := `{"email":"e","amount":5,"currency":"NGN","authorization_code":"a","reference":"r"}`
	for _, c := range []struct {
		secret, body, code string
		status             int
	}{
		{"wrong", good, "invalid_key", 401},
		{"sk", "{", "invalid_body", 400},
		{"sk", `{"amonut":5}`, "invalid_body", 400},
		{"sk", strings.Replace(good, "5", "-5", 1), "invalid_params", 400},
		{"sk", strings.Replace(good, `"r"`, `""`, 1), "invalid_params", 400},
		{"sk", good, "", 200},
		{"sk", good, "duplicate_reference", 400},
		{"sk", strings.Replace(good, "5", "6", 1), "reference_mismatch", 409},
	} {
		req := httptest.NewRequest("POST", "/transaction/charge_authorization", strings.NewReader(c.body))
		req.Header.Set("Authorization", "Bearer "+c.secret)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, req)
		var r apiResponse
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != c.status || r.Code != c.code {
			t.Errorf("%s: %d %q, %v; want %d %q", c.body, w.Code, r.Code, err, c.status, c.code)
		}
	}

	if n := len(l.Entries()); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestTheSameSeedMakesTheSameFaults(t *testing.T) {
	draw := func() string {
		e, all := NewEmulator(Config{Faults: Faults{Seed: 3, LoseReply: .2, Error500: .2, Hang: .2, Decline: .2}}, openLedger(t, "")), ""
		for range 50 {
			all += e.drawFault() + " "
		}
		return all
	}

	a := draw()
	if a != draw() {
		t.Error("two runs differ")
	}

	for _, f := range []string{"lose_reply", "error_500", "hang", "decline"} {
		if !strings.Contains(a, f) {
			t.Errorf("never drew %s", f)
		}
	}
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- Run(ctx, "127.0.0.1:0", filepath.Join(t.TempDir(), "l"), Config{Secret: "sk"}, func(a string) { addr <- a })
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	resp, err := client.Get("http://" + <-addr + "/healthz")
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
