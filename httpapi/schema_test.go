package httpapi

import (
	"net/http"
	"os"
	"testing"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestAnyoneMayReadTheSchemaThatTheNodeUnderstands(t *testing.T) {
	r := newTestAPI(t, nil)
	want, err := os.ReadFile("../wire/ridehail.proto")
	if err != nil {
		t.Fatal(err)
	}

	w := r.callAPI(trips.Actor{}, "GET", "/v1/protocol/ridehail.proto", "")
	if w.Code != http.StatusOK || w.Body.String() != string(want) || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d %v %.200s", w.Code, w.Header(), w.Body)
	}
	wantProblem(t, r.callAPI(trips.Actor{}, "POST", "/v1/protocol/ridehail.proto", "{}"), http.StatusMethodNotAllowed, wire.CodeMethod)
}
