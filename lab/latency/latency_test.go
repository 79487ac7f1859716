package latency

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/lab/latency/relay"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

func TestEveryUpdateThroughTheRelayIsCounted(t *testing.T) {
	srv := httptest.NewServer(relay.New().Handler())
	defer srv.Close()

	r, err := Run(context.Background(), Config{Server: srv.URL, Bare: true, Pairs: 20, Rate: 20, For: time.Second, Warmup: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 400 || r.Delivered != 400 || r.Lost != 0 || r.Latency.Max <= 0 || r.Latency.P50 > r.Latency.P99 {
		t.Fatalf("%+v", r)
	}
	if !strings.Contains(r.Text(), "p99") || !strings.HasSuffix(r.SVG(), "</svg>\n") {
		t.Fatal("no picture")
	}
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
}

func TestAnUnreachableServerIsAClearError(t *testing.T) {
	_, err := Run(context.Background(), Config{Server: "http://127.0.0.1:1", Pairs: 1})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Fatalf("%v", err)
	}
}
