package problem_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/wire"
)

func TestWhatIsUnavailableSaysWhenToComeBack(t *testing.T) {
	for _, c := range []struct {
		code   wire.Code
		status int
		set    string // by the caller
		want   string
	}{
		{wire.CodeUnavailable, http.StatusServiceUnavailable, "", "1"},
		{wire.CodeUnavailable, http.StatusServiceUnavailable, "7", "7"},
		{wire.CodeNotFound, http.StatusNotFound, "", ""},
	} {
		w := httptest.NewRecorder()
		if c.set != "" {
			w.Header().Set("Retry-After", c.set)
		}
		problem.Write(w, c.code, c.status, "why")
		if got := w.Header().Get("Retry-After"); w.Code != c.status || got != c.want {
			t.Errorf("%s: status %d, Retry-After %q, want %q", c.code, w.Code, got, c.want)
		}
	}
}
