package gateway

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/trips"
)

// Two places in the city.
var (
	market  = location.Point{Lng: 3.38, Lat: 6.45}
	airport = location.Point{Lng: 3.40, Lat: 6.50}
)

const ride = `{"pickup":{"lng":3.38,"lat":6.45},"dropoff":{"lng":3.4,"lat":6.5}}`

// handClock stands still unless moved.
type handClock struct {
	held sync.Mutex // guards at
	at   time.Time
}

func newHandClock() *handClock { return &handClock{at: time.Unix(1_700_000_000, 0)} }

func (h *handClock) now() time.Time {
	h.held.Lock()
	defer h.held.Unlock()
	return h.at
}

func (h *handClock) pass(d time.Duration) {
	h.held.Lock()
	defer h.held.Unlock()
	h.at = h.at.Add(d)
}

// byAir goes the straight line at 10 m/s.
type byAir struct{}

func (byAir) Route(_ context.Context, from, to location.Point) (routing.Route, error) {
	metres := location.MetresBetween(from, to)
	d := time.Duration(metres / 10 * float64(time.Second)).Round(time.Second)
	return routing.Route{Metres: metres, Duration: d, Source: routing.SourceStraight}, nil
}

// airQuote is the plain price of a way by air.
func airQuote(from, to location.Point) trips.Quote {
	way, _ := byAir{}.Route(context.Background(), from, to)
	return trips.Quote{Metres: way.Metres, Duration: way.Duration, Source: way.Source,
		Fare: trips.DefaultTariff.Fare(way.Metres, way.Duration)}
}

func testQuoter(t testing.TB, now func() time.Time) *pricing.Quoter {
	t.Helper()
	quoter, err := pricing.NewQuoter(bytes.Repeat([]byte("q"), 32), pricing.QuoterOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return quoter
}

func testTokens(t testing.TB, revoked *auth.Revocations, now func() time.Time) *auth.Tokens {
	t.Helper()
	tokens, err := auth.NewTokens(bytes.Repeat([]byte("s"), 32), revoked, now)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func testToken(t testing.TB, a *auth.Tokens, role trips.Role, id string) string {
	t.Helper()
	token, err := a.Issue(role, id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// callHTTP asks the public API as someone.
func (c *testNode) callHTTP(who trips.Actor, method, path, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+testToken(c.t, c.auth, who.Role, who.ID))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}

	w := httptest.NewRecorder()
	c.api.Public().ServeHTTP(w, req)
	return w
}

func getPath(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}
