package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOnlyOneTokenOrOneUserIsRevokedAtATimeAndOnlyByTheAdminAPI(t *testing.T) {
	r := newTestAPI(t, nil)
	revoke := func(h http.Handler, body string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("POST", "/admin/revocations", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w
	}

	for _, body := range []string{`{}`, `{"jti":"a","role":"rider","id":"r"}`, `{"role":"rider"}`, `{"id":"r"}`, `{"jti":"a","id":"r"}`,
		`{"role":"system","id":"x"}`, `{"role":"rider","id":"a/b"}`, `{"jti":"a\u0000"}`, `{"user":"r"}`, `[]`} {
		if w := revoke(r.api.Admin(), body); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", body, w.Code)
		}
	}

	if w := revoke(r.public, `{"jti":"a"}`); w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
		t.Errorf("the public API answers %d", w.Code)
	}
	if w := revoke(r.api.Admin(), `{"jti":"a"}`); w.Code != http.StatusOK {
		t.Errorf("a node without a keeper: %d %s", w.Code, w.Body)
	}
}
