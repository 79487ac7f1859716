package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/trips"
)

// FuzzWhatIsAskedIsAnsweredOrRefused asks each endpoint with any id, query and
// body. A refusal carries a code, and none is our fault.
func FuzzWhatIsAskedIsAnsweredOrRefused(f *testing.F) {
	endpoints := []string{"POST /v1/quotes", "POST /v1/trips", "GET /v1/trips", "GET /v1/trips/ID", "POST /v1/trips/ID/cancel",
		"GET /v1/trips/ID/chat", "GET /v1/nearby", "GET /v1/receipts", "GET /v1/tiles/8/ID/3", "POST /v1/dev/tokens", "GET /v1/ID"}
	f.Add(0, "", "", ride)
	f.Add(1, "", "", strings.Replace(ride, "{", `{"quote":"a.b.c",`, 1))
	f.Add(4, "a", "", `{"reason":"late"}`)
	f.Add(5, "a", "after=1&limit=2", "")
	f.Add(6, "", "lng=3.38&lat=6.45&radius=NaN", "")
	f.Add(8, "-1", "", "")

	f.Fuzz(func(t *testing.T, endpoint int, id, query, body string) {
		if endpoint < 0 || endpoint >= len(endpoints) {
			return
		}
		method, path, _ := strings.Cut(endpoints[endpoint], " ")
		r := newTestAPI(t, nil)
		req := httptest.NewRequest(method, "/", strings.NewReader(body))
		req.URL = &url.URL{Path: strings.Replace(path, "ID", id, 1), RawQuery: query}
		req.Header = http.Header{"Authorization": {"Bearer " + r.issueToken(trips.RoleRider, "r")}, "Content-Type": {"application/json"},
			"Idempotency-Key": {"key"}}

		w := httptest.NewRecorder()
		r.public.ServeHTTP(w, req)
		answer, err := io.ReadAll(w.Body)
		if err != nil || w.Code >= http.StatusInternalServerError {
			t.Fatalf("%d %s, %v", w.Code, answer, err)
		}

		var p problem.Details
		isOurs := strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json")
		if isOurs && (json.Unmarshal(answer, &p) != nil || p.Code == "" || p.Status != w.Code) || w.Code == http.StatusBadRequest && !isOurs {
			t.Fatalf("%d %s", w.Code, answer)
		}
	})
}
