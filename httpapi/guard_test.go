package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestAUserWhoAsksTooOftenWaitsAndDelaysNoOther(t *testing.T) {
	r := newTestAPI(t, nil)
	for i := range userBurst {
		if w := r.callAPI(trips.Rider("r"), "GET", "/v1/receipts", ""); w.Code != 200 {
			t.Fatalf("request %d of the burst: %d", i+1, w.Code)
		}
	}

	w := r.callAPI(trips.Rider("r"), "GET", "/v1/receipts", "")
	wantProblem(t, w, 429, wire.CodeTooMany)
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
	if w := r.callAPI(trips.Rider("calm"), "GET", "/v1/receipts", ""); w.Code != 200 {
		t.Errorf("another rider: %d", w.Code)
	}
	r.pass(time.Second)

	for i := range userRate {
		if w := r.callAPI(trips.Rider("r"), "GET", "/v1/receipts", ""); w.Code != 200 {
			t.Fatalf("a second later, request %d: %d", i+1, w.Code)
		}
	}

	wantProblem(t, r.callAPI(trips.Rider("r"), "GET", "/v1/receipts", ""), 429, wire.CodeTooMany)
}

func TestTheLimiterRemembersABoundedCrowd(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := newUserLimiter(func() time.Time { return now })
	for i := range maxUsers + 10 {
		p.allow(trips.Actor{Role: trips.RoleRider, ID: string(rune(0x10000 + i))})
	}
	if len(p.users) > maxUsers {
		t.Errorf("remembers %d users, at most %d wanted", len(p.users), maxUsers)
	}
}

func TestPanicIsOneProblemAndNotTheNodesEnd(t *testing.T) {
	calm := false
	r := newTestAPI(t, func(_ *Config, book *booking.Config) {
		book.Router = routerFunc(func() (routing.Route, error) {
			if !calm {
				panic("no road leads there")
			}
			return routing.Route{Metres: 6000}, nil
		})
	})

	w := r.callAPI(trips.Rider("r"), "POST", "/v1/quotes", ride)
	wantProblem(t, w, 500, wire.CodeInternal)
	if strings.Contains(w.Body.String(), "no road") {
		t.Errorf("the panic is told to strangers: %s", w.Body)
	}

	calm = true
	if w := r.callAPI(trips.Rider("r"), "POST", "/v1/quotes", ride); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

func TestCityIsCompressedAndNotSentTwice(t *testing.T) {
	r := newTestAPI(t, nil)
	plain := r.callAPI(trips.Actor{}, "GET", "/v1/city", "")
	if plain.Code != 200 || plain.Body.String() != string(r.api.cfg.City.GeoJSON()) ||
		plain.Header().Get("Content-Encoding") != "" ||
		plain.Header().Get("Content-Type") != "application/geo+json" || plain.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("plain: %d %v %s", plain.Code, plain.Header(), plain.Body)
	}

	zipped := r.callAPI(trips.Actor{}, "GET", "/v1/city", "", "Accept-Encoding", "gzip, br")
	zr, err := gzip.NewReader(bytes.NewReader(zipped.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if city, err := io.ReadAll(zr); err != nil || string(city) != string(r.api.cfg.City.GeoJSON()) {
		t.Errorf("unzipped %s, %v", city, err)
	}
	if plain.Header().Get("ETag") == zipped.Header().Get("ETag") {
		t.Error("plain and zipped bytes have one ETag")
	}

	for encoding, first := range map[string]*httptest.ResponseRecorder{"": plain, "gzip": zipped} {
		again := r.callAPI(trips.Actor{}, "GET", "/v1/city", "",
			"Accept-Encoding", encoding, "If-None-Match", first.Header().Get("ETag"))
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%q again: %d with %d bytes", encoding, again.Code, again.Body.Len())
		}
	}
}

func TestDevelopmentTokensAreAcceptedAndEnd(t *testing.T) {
	r := newTestAPI(t, func(c *Config, _ *booking.Config) { c.DevTokens = true })
	got := decodeAnswer[devToken](t, r.callAPI(trips.Actor{}, "POST", "/v1/dev/tokens", `{"role":"driver","id":"d-1"}`), 200)
	p, err := r.tokens.Verify(got.Token)
	if err != nil || p.Who != trips.Driver("d-1") || !p.Until.Equal(r.now().Add(devTokenLifetime)) || !p.Until.Equal(got.ExpiresAt) {
		t.Errorf("token %+v, told %v: %v", p, got.ExpiresAt, err)
	}

	for _, ask := range []string{
		`{"role":"system","id":"x"}`, `{"role":"rider","id":""}`, `{"role":"rider","id":"a/b"}`, `{}`,
	} {
		wantProblem(t, r.callAPI(trips.Actor{}, "POST", "/v1/dev/tokens", ask), 400, wire.CodeBadField)
	}
}

func TestUnauthorizedSaysHowToComeIn(t *testing.T) {
	r := newTestAPI(t, nil)
	for _, header := range []string{"", "Basic cjpy", "Bearer", "Bearer nonsense"} {
		w := r.callAPI(trips.Actor{}, "GET", "/v1/trips", "", "Authorization", header)
		wantProblem(t, w, 401, wire.CodeUnauthorized)
		if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: WWW-Authenticate %q", header, w.Header().Get("WWW-Authenticate"))
		}
	}

	token := r.issueToken(trips.RoleRider, "r")
	r.pass(2 * time.Hour)
	late := r.callAPI(trips.Actor{}, "GET", "/v1/trips", "", "Authorization", "Bearer "+token)
	wantProblem(t, late, 401, wire.CodeUnauthorized)
}

func getPath(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

func TestNodeThatCannotServeSaysSoAndStaysAlive(t *testing.T) {
	down := errors.New("dial tcp 10.0.0.7:5432: refused")
	r := newTestAPI(t, func(c *Config, _ *booking.Config) { c.Ready = func(context.Context) error { return down } })
	for name, h := range map[string]http.Handler{"public": r.public, "admin": r.api.Admin()} {
		w := getPath(h, "/readyz")
		wantProblem(t, w, 503, wire.CodeUnavailable)
		if w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "10.0.0.7") != (name == "admin") {
			t.Errorf("%s: %v %s", name, w.Header(), w.Body)
		}
		if w := getPath(h, "/healthz"); w.Code != 200 {
			t.Errorf("%s: /healthz %d while only a dependency is down", name, w.Code)
		}
	}

	down = nil
	if w := getPath(r.public, "/readyz"); w.Code != 200 || !strings.Contains(w.Body.String(), "ready") {
		t.Errorf("ready again: %d %s", w.Code, w.Body)
	}
}

func TestANodeThatIsNotReadyLogsItOnceHoweverOftenItIsAsked(t *testing.T) {
	var log bytes.Buffer
	var down error
	r := newTestAPI(t, func(c *Config, _ *booking.Config) {
		c.Ready, c.Log = func(context.Context) error { return down }, slog.New(slog.NewTextHandler(&log, nil))
	})
	ask := func(why error, times int) (lines int) {
		log.Reset()
		down = why
		for range times {
			getPath(r.public, "/readyz")
			getPath(r.api.Admin(), "/readyz")
		}
		return strings.Count(log.String(), "\n")
	}

	for i, step := range []struct {
		why  error
		pass time.Duration
		want int
		text string
	}{
		{nil, 0, 0, ""},
		{errors.New("redis: a replica"), 0, 1, "redis: a replica"},
		{errors.New("redis: port 1"), 0, 0, ""},
		{errors.New("redis: port 2"), 10 * time.Second, 1, "redis: port 2"},
		{nil, 0, 1, "ready again"},
		{nil, time.Minute, 0, ""},
		{errors.New("redis: port 2"), 0, 1, "redis: port 2"},
	} {
		r.pass(step.pass)
		if lines := ask(step.why, 50); lines != step.want || !strings.Contains(log.String(), step.text) {
			t.Errorf("step %d: %d lines, want %d with %q:\n%s", i, lines, step.want, step.text, &log)
		}
	}
}

func TestOperatorsSeeMetricsAndProfilesAndThePublicDoesNot(t *testing.T) {
	r := newTestAPI(t, nil)
	r.callAPI(trips.Rider("r"), "GET", "/v1/trips/some-private-id", "")
	r.callAPI(trips.Rider("r"), "BREW", "/v1/trips", "")
	admin := r.api.Admin()

	metrics := getPath(admin, "/metrics").Body.String()
	for _, line := range []string{
		`ridehail_gateway_http_seconds_count{method="GET",route="/v1/trips/{id}",status="404"} 1`,
		`ridehail_gateway_http_seconds_count{method="other",route="/v1/trips",status="405"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %s", line)
		}
	}

	if strings.Contains(metrics, "some-private-id") || strings.Contains(metrics, "BREW") {
		t.Error("what strangers wrote became a label")
	}
	if w := getPath(admin, "/debug/pprof/goroutine?debug=1"); w.Code != 200 {
		t.Errorf("profile: %d", w.Code)
	}

	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if w := getPath(r.public, path); w.Code != 404 {
			t.Errorf("the public API answers %s with %d", path, w.Code)
		}
	}
}

func TestEveryAnswerForbidsSniffing(t *testing.T) {
	r := newTestAPI(t, nil)
	for _, path := range []string{"/v1/city", "/v1/trips", "/v1/nothing", "/healthz"} {
		if got := getPath(r.public, path).Header().Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", path, got)
		}
	}
}

func TestTheXrayPageIsServedToUsersAndOperators(t *testing.T) {
	r := newTestAPI(t, nil)
	for name, h := range map[string]http.Handler{"public": r.public, "admin": r.api.Admin()} {
		for _, path := range []string{"/xray", "/xray/app/main.js", "/app/tokens.css", "/app/dom.js"} {
			if w := getPath(h, path); w.Code != http.StatusOK {
				t.Errorf("%s API: GET %s: %d", name, path, w.Code)
			}
		}
	}
}
