package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestBadRequestsAreCodedProblems(t *testing.T) {
	auth := testAuth(t, time.Now)
	g := newDoor(doorConfig{Auth: auth, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Socket: http.NotFound}, newMetrics(prometheus.NewRegistry()))
	h := g.public()
	rider, driver := testToken(t, auth, trips.RoleRider, "r"), testToken(t, auth, trips.RoleDriver, "d")
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
		h.ServeHTTP(w, r)
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Code != c.code || p.Detail == "" ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s (%v), want %d %s", c.name, w.Code, w.Body, err, c.status, c.code)
		}
	}
}
