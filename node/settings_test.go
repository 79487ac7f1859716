package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/routing"
)

func openTestNode(t *testing.T, change func(*Config)) (log string, err error) {
	t.Helper()
	var out bytes.Buffer
	cfg := Config{Name: "one", Listen: "127.0.0.1:0", Database: filepath.Join(t.TempDir(), "ridehail.db"), City: "1",
		Secret: []byte("of this test, with more than 32 bytes"), Log: slog.New(slog.NewTextHandler(&out, nil))}
	change(&cfg)
	n, err := Open(t.Context(), cfg)
	return out.String(), errors.Join(err, n.Close())
}

func TestSettingsThatCanNeverWorkAreRefused(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"--routing: want http://":  func(c *Config) { c.Routing = "localhost:9000" },
		"--provider: want http://": func(c *Config) { c.Provider, c.ProviderSecret = "localhost:8090", "sk" },
		"--provider-secret":        func(c *Config) { c.Provider = "http://localhost:8090" },
		"--redis: redis address":   func(c *Config) { c.Redis = "http://localhost:6379" },
		"city: ":                   func(c *Config) { c.City = "nowhere.city" },
	} {
		if _, err := openTestNode(t, change); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: it says %v", want, err)
		}
	}
}

func TestARoutingServiceThatCannotHelpIsWarnedOf(t *testing.T) {
	slowtest.Require(t)
	server := func(seed string) string {
		city, err := routing.Open(seed)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(routing.NewHandler(routing.NewRouter(city)))
		t.Cleanup(s.Close)
		return s.URL
	}

	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"code":"NoSegment","message":"Could not find a matching segment"}`)
	}))
	defer elsewhere.Close()

	for url, want := range map[string]string{
		"":                      "",
		server("1"):             "",
		"http://127.0.0.1:1":    "does not answer; prices and pickups go by straight lines",
		"osrm:" + elsewhere.URL: "give it the same --city",
	} {
		log, err := openTestNode(t, func(c *Config) { c.Routing = url })
		if err != nil || want == "" && strings.Contains(log, "routing service") || !strings.Contains(log, want) {
			t.Errorf("%q: %v\n%s", url, err, log)
		}
	}
}

func TestAPartThatFailsEndsTheNodeAndIsNamed(t *testing.T) {
	p := newParts(t.Context())
	p.startPart("relay", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	p.startPart("listening to Redis", func(context.Context) error { return errors.New("broken") })
	if err := p.group.Wait(); err == nil || err.Error() != "listening to Redis: broken" {
		t.Errorf("the node ended with %v", err)
	}
}
