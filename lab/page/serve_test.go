package page

import (
	"github.com/ridehail/ridehail/lab/page/pagetest"
	"github.com/ridehail/ridehail/web"
	"log/slog"
	"net/http"
	"os"
	"testing"
)

func TestServeForEyes(t *testing.T) {
	if os.Getenv("EYES") == "" {
		t.Skip()
	}
	p := New(t.Context(), Config{Experiments: pagetest.Experiments(), MayRun: true, Log: slog.Default()})
	mux := http.NewServeMux()
	mux.Handle("/lab", p)
	mux.Handle("/lab/", p)
	mux.Handle("/", web.Handler())
	http.ListenAndServe(os.Getenv("EYES"), mux)
}
