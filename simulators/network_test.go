package simulators

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/wire"
)

func TestPhonesComeBackSpreadOutLaterEachTimeAndNeverAfterFiveSeconds(t *testing.T) {
	const phones = 1000
	for attempt, limit := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond, 3200 * time.Millisecond, 5 * time.Second, 5 * time.Second} {
		slots := [10]int{}
		for range phones {
			d := backoff(attempt, 0, 0) - 5*time.Millisecond
			if d < 0 || d >= limit {
				t.Fatalf("attempt %d: %v of %v", attempt, d, limit)
			}
			slots[10*d/limit]++
		}
		for i, n := range slots { // 100 each, and 9 is a standard deviation
			if n < 30 || n > 200 {
				t.Errorf("attempt %d: %d of %d phones in the tenth %d", attempt, n, phones, i)
			}
		}
	}
	if d := backoff(1000, 0, 0); d > 5*time.Second+5*time.Millisecond {
		t.Errorf("after many tries %v", d)
	}
}

func TestANodeThatAsksToBeLeftAloneIs(t *testing.T) {
	for _, c := range []struct {
		what string
		err  error
		code int
		want time.Duration
	}{
		{"a lost connection", errors.New("reset"), 0, 0},
		{"a node that is stopping", nil, wire.CloseGoingAway, 0},
		{"an overloaded node", &websocket.CloseError{Code: wire.CloseOverload}, wire.CloseOverload, 2 * time.Second},
		{"a full node", fmt.Errorf("dial: %w", &laterError{errors.New("503"), 5 * time.Second}), 0, 5 * time.Second},
	} {
		hint := comeBackAfter(c.err, c.code)
		if hint != c.want {
			t.Errorf("%s: %v, want %v", c.what, hint, c.want)
		}
		for range 100 {
			if d := backoff(0, c.code, hint); d < hint || d > 2*hint+205*time.Millisecond {
				t.Fatalf("%s: comes back after %v", c.what, d)
			}
		}
	}
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "": 0, "0": 0, "-1": 0, "99999": longestHint,
		"Wed, 21 Oct 2026 07:28:00 GMT": 0} {
		if got := retryHint(header); got != want {
			t.Errorf("Retry-After: %s is %v, want %v", header, got, want)
		}
	}
}

func TestAPhoneHonoursTheRefusalOfAFullNode(t *testing.T) {
	var mu sync.Mutex
	var came []time.Time
	n := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/ws" {
			fmt.Fprint(w, `{"token":"t"}`)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		came = append(came, time.Now())
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer n.Close()
	net := newNetwork(n.URL, nil, NewStats(), nil)
	defer net.close()
	p := net.phone(t.Context(), roleRider, "rider", 0)
	defer p.stop()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		tries := len(came)
		if tries == 2 && came[1].Sub(came[0]) < time.Second {
			t.Errorf("came back after %v", came[1].Sub(came[0]))
		}
		mu.Unlock()
		if tries >= 2 {
			return
		}
		if time.Now().After(late) {
			t.Fatal("never came back")
		}
	}
}

func TestCommandsThatMustBeTriedAgainSpreadOutAndSlowDown(t *testing.T) {
	c := new(command)
	for _, limit := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		if d := c.retry(); d < limit/4 || d >= limit {
			t.Errorf("after %d tries: %v, at most %v", c.tries, d, limit)
		}
	}
	c.tries = 1 << 20
	if d := c.retry(); d >= retryMost {
		t.Errorf("%v", d)
	}
}
