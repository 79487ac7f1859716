package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/trips"
)

// emulator is a payment provider in this process.
func emulator(t *testing.T) *httptest.Server {
	t.Helper()
	ledger, err := provider.OpenLedger("")
	if err != nil {
		t.Fatal(err)
	}

	server := httptest.NewServer(provider.NewEmulator(provider.Config{Secret: "sk_test"}, ledger))
	t.Cleanup(server.Close)
	return server
}

// paidTrip stores a completed trip in a new SQLite file and charges it at a
// provider.
func paidTrip(t *testing.T, bank string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "ridehail.db")
	s, err := sqlite.Open(t.Context(), file, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	here, now := location.Point{Lng: 3.38, Lat: 6.45}, time.Now()
	quote := trips.Quote{Metres: 1, Duration: time.Minute, Source: "road", Fare: trips.Money{Minor: 123_400, Currency: "NGN"}}
	ev, err := trips.Request("t-1", "ada", here, here, quote, now)
	for i, verb := range []trips.Transition{
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve("chidi", at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Arrive(trips.Driver("chidi"), at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Start(trips.Driver("chidi"), at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Complete(trips.Driver("chidi"), at) },
		nil,
	} {
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Apply(t.Context(), trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: string(rune('a' + i))}, Event: ev}); err != nil {
			t.Fatal(err)
		}
		if verb != nil {
			ev, err = verb(ev.Trip, now)
		}
	}

	if _, err := payments.NewSettler(s, bank, "sk_test", time.Now).SettleTrip(t.Context(), "t-1"); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAnOperatorGivesAFareBackOnce(t *testing.T) {
	bank := emulator(t)
	file := paidTrip(t, bank.URL)
	refund := func(trip string) *program {
		return start(t, "refund", "--database", file, "--provider", bank.URL, "--trip", trip, "--reason",
			"by mistake", "--json")
	}

	for range 2 {
		p := refund("t-1")
		code := p.wait(t)
		var r payments.Refund
		if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil || code != exitDone ||
			r.State != payments.RefundDone || r.Amount.Minor != 123_400 || r.Reason != "by mistake" {
			t.Errorf("exit %d, %+v, %v", code, r, err)
		}
	}

	for _, trip := range []string{"t-2", "\xff", "t-1\n", strings.Repeat("t", 65)} {
		if p := refund(trip); p.wait(t) != exitUsage || !strings.Contains(p.logs.String(), "not charged") {
			t.Errorf("trip %q, which never was: %s", trip, p.logs.String())
		}
	}
	if p := start(t, "audit", "--database", file); p.wait(t) != exitDone {
		t.Errorf("the audit found: %s", p.out.String())
	}
}

func TestARefundIsRecordedWhileTheProviderIsAway(t *testing.T) {
	bank := emulator(t)
	file := paidTrip(t, bank.URL)
	bank.Close()
	p := start(t, "refund", "--database", file, "--provider", bank.URL, "--trip", "t-1", "--reason", "by mistake")
	if code := p.wait(t); code != exitUnreachable || !strings.Contains(p.logs.String(), "the nodes will go on") {
		t.Errorf("exit %d: %s", code, p.logs.String())
	}
}

func TestANodeHearsOnlyTheProvidersWebhooks(t *testing.T) {
	bank, at := emulator(t), freeAddress(t)
	node := start(t, "serve", "--dev-tokens", "--listen", at, "--admin", "127.0.0.1:0", "--provider", bank.URL,
		"--database", paidTrip(t, bank.URL))
	awaitReady(t, node, "http://"+at)

	body := `{"event":"charge.success","data":{"reference":"trip-t-1","paid_at":"` + time.Now().Format(time.RFC3339) + `"}}`
	for signature, want := range map[string]int{
		provider.SignWebhook("sk_test", []byte(body)): http.StatusOK,
		provider.SignWebhook("guessed", []byte(body)): http.StatusUnauthorized,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at+"/v1/payments/webhook",
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}

		req.Header.Set(payments.SignatureHeader, signature)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}

		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d, want %d", res.StatusCode, want)
		}
	}
}
