package latency

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/lab/latency/relay"
	"github.com/ridehail/ridehail/lab/line"
)

func TestALineAddsItsDelayTwiceAndIsTold(t *testing.T) {
	srv := httptest.NewServer(relay.New().Handler())
	defer srv.Close()

	r, err := Run(context.Background(), Config{Server: srv.URL, Bare: true, Pairs: 10, Rate: 20, For: time.Second, Warmup: 100 * time.Millisecond,
		Line: &line.Spec{Delay: 30 * time.Millisecond, Loss: 1}, LineSeed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 200 || r.Delivered != 200 || r.Latency.P50 < 60 {
		t.Errorf("%+v", r)
	}
	if l := r.Line; l == nil || l.Delay != 30 || l.Loss != 1 || l.Connections != 20 || l.Up.Chunks < 200 || l.Down.Chunks < 200 {
		t.Errorf("%+v", l)
	}

	for _, says := range []string{"30ms and 1 % loss each way; a round trip takes 60ms", "WebSocket", "shared memory"} {
		if !strings.Contains(r.Text(), says) {
			t.Errorf("the report does not say %q:\n%s", says, r.Text())
		}
	}
	if r.Machine.Cores < 1 || r.Machine.LateP99 <= 0 {
		t.Errorf("%+v", r.Machine)
	}
}

func TestALineLeadsOnlyToAServerThatListens(t *testing.T) {
	spec := &line.Spec{Delay: time.Millisecond}
	_, err := Run(context.Background(), Config{Server: "http://127.0.0.1:1", Pairs: 1, Line: spec})
	if err == nil || errors.Is(err, ErrLine) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	for _, server := range []string{"https://localhost:1", "localhost:1", "http://", "http://%zz"} {
		if _, err := Run(context.Background(), Config{Server: server, Pairs: 1, Line: spec}); !errors.Is(err, ErrLine) {
			t.Errorf("%s: %v", server, err)
		}
	}
}

func TestTheMachinesLoadIsToldWhenItMatters(t *testing.T) {
	for name, c := range map[string]struct {
		late, p50 float64 // ms
		warns     bool
	}{
		"a quiet machine":                  {0.1, 0.2, false},
		"a busy one":                       {3, 0.2, true},
		"a busy one, and a long line":      {3, 80, false},
		"a very busy one, and a long line": {12, 80, true},
	} {
		got := Machine{Cores: 2, LoadAverage: 7.5, LateP99: c.late}.loadWarning(c.p50)
		if (got != "") != c.warns || c.warns && !strings.Contains(got, "load 7.5 on 2 cores") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
