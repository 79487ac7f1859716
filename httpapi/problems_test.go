package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestBadRequestsAreCodedProblems(t *testing.T) {
	rig := newTestAPI(t, nil)
	rider, driver := rig.issueToken(trips.RoleRider, "r"), rig.issueToken(trips.RoleDriver, "d")
	for _, c := range []struct {
		name, method, path, token, kind, body string
		status                                int
		code                                  wire.Code
	}{
		{"no token", "POST", "/v1/quotes", "", "", "", 401, wire.CodeUnauthorized},
		{"driver asks a quote", "POST", "/v1/quotes", driver, "", "", 403, wire.CodeForbidden},
		{"no content type", "POST", "/v1/quotes", rider, "", "{}", 400, wire.CodeBadFrame},
		{"not JSON", "POST", "/v1/quotes", rider, "application/json", "{", 400, wire.CodeBadFrame},
		{"unknown field", "POST", "/v1/quotes", rider, "application/json", `{"x":1}`, 400, wire.CodeBadFrame},
		{"trailing data", "POST", "/v1/quotes", rider, "application/json", `{}{}`, 400, wire.CodeBadFrame},
		{"wrong type", "POST", "/v1/quotes", rider, "application/json", `{"pickup":3}`, 400, wire.CodeBadField},
		{"no object", "POST", "/v1/quotes", rider, "application/json", `[]`, 400, wire.CodeBadFrame},
		{"missing point", "POST", "/v1/quotes", rider, "application/json", `{}`, 400, wire.CodeBadField},
		{"off the Earth", "POST", "/v1/quotes", rider, "application/json", `{"pickup":{"lng":0,"lat":91},"dropoff":{"lng":0,"lat":0}}`, 400, wire.CodeBadField},
		{"too large", "POST", "/v1/quotes", rider, "application/json", `{"x":"` + strings.Repeat("a", maxBody) + `"}`, 413, wire.CodeTooLarge},
		{"no key", "POST", "/v1/trips", rider, "application/json", `{}`, 400, wire.CodeBadField},
		{"wrong method", "DELETE", "/v1/trips", rider, "", "", 405, wire.CodeMethod},
		{"no endpoint", "GET", "/v1/nothing", rider, "", "", 404, wire.CodeNoSuchEndpoint},
		{"nearby nowhere", "GET", "/v1/nearby?lng=NaN&lat=0", rider, "", "", 400, wire.CodeBadField},
		{"dev tokens off", "POST", "/v1/dev/tokens", "", "application/json", `{"role":"rider","id":"r"}`, 404, wire.CodeNoSuchEndpoint},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}

		w := httptest.NewRecorder()
		rig.public.ServeHTTP(w, r)

		var p problem.Details
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Code != c.code || p.Detail == "" ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s (%v), want %d %s", c.name, w.Code, w.Body, err, c.status, c.code)
		}
	}
}

func protocolPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProtocolPageGivesEachCodeItsStatus(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d{3}) \\|").FindAllStringSubmatch(protocolPage(t), -1)
	if len(rows) < 15 {
		t.Fatalf("only %d codes were found", len(rows))
	}

	for _, row := range rows {
		if status := strconv.Itoa(statusOf(wire.Code(row[1]))); status != row[2] {
			t.Errorf("the page says that %s comes with %s; it comes with %s", row[1], row[2], status)
		}
	}
}

func TestProtocolPageTellsTheLimitsOfHTTP(t *testing.T) {
	text := protocolPage(t)
	for what, limit := range map[string]string{
		"HTTP body":                     fmt.Sprintf("%d KiB", maxBody>>10),
		"HTTP requests":                 fmt.Sprintf("%d a second a user, burst of %d", userRate, userBurst),
		"all of an HTTP body to arrive": fmt.Sprintf("%.0f s", defaultBodyWithin.Seconds()),
		"an HTTP request":               fmt.Sprintf("%.0f s", handlerTimeout.Seconds()),
	} {
		if row := "\n| " + what + " | " + limit + " |"; !strings.Contains(text, row) {
			t.Errorf("the page's limits have no row %s", row[1:])
		}
	}
}
