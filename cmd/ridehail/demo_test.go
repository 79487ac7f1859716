package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/demo"
)

// readMetric returns the value of a line of an admin API's metrics, or ""
// before it is there.
func readMetric(t *testing.T, admin, line string) string {
	t.Helper()
	res, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}

	_, after, _ := strings.Cut("\n"+string(text), "\n"+line+" ")
	value, _, _ := strings.Cut(after, "\n")
	return value
}

func TestTheDemosOperatorHasCallsToAnswerAndItsProviderTellsByWebhook(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	public, admin := freeAddress(t), freeAddress(t)
	p := start(t, "demo", "--json", "--listen", public, "--admin", admin, "--data", t.TempDir(), "--drivers", "30", "--riders", "20",
		"--speed", "20", "--sos", "0.5", "--flaky")
	awaitReady(t, p, "http://"+public)

	for what, line := range map[string]string{
		"a call for help comes before the operators": "ridehail_alerts_raised_total",
		"the provider tells the node of a charge":    `ridehail_gateway_http_seconds_count{method="POST",route="/v1/payments/webhook",status="200"}`,
		"an operator presses a button":               `ridehail_gateway_http_seconds_count{method="POST",route="/ops/alerts/{id}/ack",status="200"}`,
	} {
		for late := time.Now().Add(3 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if v := readMetric(t, admin, line); v != "" && v != "0" {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("never happened: %s", what)
			}
		}
	}

	p.stop()
	code := p.wait(t)
	var s demo.Summary
	if err := json.Unmarshal([]byte(p.out.String()), &s); err != nil || code != exitDone || s.Violations != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, p.out.String())
	}
	if s.Help.Asked == 0 || s.Help.Acknowledged == 0 {
		t.Errorf("help %+v", s.Help)
	}
}
