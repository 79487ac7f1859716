package client

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/wire"
)

func TestClientsComeBackSpreadOutLaterEachTimeAndNeverAfterFiveSeconds(t *testing.T) {
	const clients = 1000
	for attempt, limit := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond, 3200 * time.Millisecond, 5 * time.Second, 5 * time.Second} {
		slots := [10]int{}
		for range clients {
			d := Backoff(attempt, 0, 0) - 5*time.Millisecond
			if d < 0 || d >= limit {
				t.Fatalf("attempt %d: %v of %v", attempt, d, limit)
			}
			slots[10*d/limit]++
		}

		for i, n := range slots { // 100 each, and 9 is a standard deviation
			if n < 30 || n > 200 {
				t.Errorf("attempt %d: %d of %d clients in the tenth %d", attempt, n, clients, i)
			}
		}
	}

	if d := Backoff(1000, 0, 0); d > 5*time.Second+5*time.Millisecond {
		t.Errorf("after many tries %v", d)
	}
}

func TestAClientHurriesAfterADrain(t *testing.T) {
	var first, second time.Duration
	for range 2000 {
		first, second = max(first, Backoff(0, wire.CloseGoingAway, 0)), max(second, Backoff(1, wire.CloseGoingAway, 0))
	}
	if first > 60*time.Millisecond || second < first {
		t.Fatalf("up to %s, then %s", first, second)
	}
}

func TestANodeThatAsksToBeLeftAloneIs(t *testing.T) {
	full := func(d time.Duration) error {
		return fmt.Errorf("dial: %w", &StatusError{Status: http.StatusServiceUnavailable, RetryAfter: d})
	}
	one, two := New(Config{Servers: []string{"http://a"}}), New(Config{Servers: []string{"http://a", "http://b"}})
	for _, c := range []struct {
		what    string
		client  *Client
		attempt int
		err     error
		want    time.Duration
	}{
		{"a lost connection", one, 0, errors.New("reset"), 0},
		{"a node that is stopping", one, 0, &websocket.CloseError{Code: wire.CloseGoingAway}, 0},
		{"an overloaded node", one, 0, &websocket.CloseError{Code: wire.CloseOverload}, 2 * time.Second},
		{"a full node", one, 0, full(5 * time.Second), 5 * time.Second},
		{"one that asks for a day", one, 0, full(24 * time.Hour), maxRetryHint},
		{"one of two", two, 0, full(5 * time.Second), 0},
		{"both of two", two, 1, full(5 * time.Second), 5 * time.Second},
	} {
		for range 100 {
			if d, again := c.client.DefaultRetry(c.attempt, c.err); !again || d < c.want || d > 2*c.want+405*time.Millisecond {
				t.Fatalf("%s: comes back %v after %v", c.what, again, d)
			}
		}
	}

	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "": 0, "0": 0, "-1": 0,
		"Wed, 21 Oct 2026 07:28:00 GMT": 0} {
		if got := parseRetryAfter(header); got != want {
			t.Errorf("Retry-After: %s is %v, want %v", header, got, want)
		}
	}
}

func TestClientsStayAwayWhenToldTo(t *testing.T) {
	c := New(Config{Servers: []string{"http://a"}})
	for code := 1000; code < 5000; code++ {
		want := wire.ShouldReconnect(code)
		if _, again := c.DefaultRetry(0, &websocket.CloseError{Code: code}); again != want && code != websocket.CloseAbnormalClosure {
			t.Errorf("after %d: %v", code, again)
		}
	}

	for status, want := range map[int]bool{400: false, 403: false, 404: false, 408: true, 429: true, 500: true, 503: true} {
		if _, again := c.DefaultRetry(0, &StatusError{Status: status}); again != want {
			t.Errorf("after status %d: %v", status, again)
		}
	}
}
