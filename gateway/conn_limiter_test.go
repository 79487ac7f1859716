package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestACrowdAtTheDoorIsToldToComeBackAsAQueue(t *testing.T) {
	l, now := newConnLimiter(100, 100), time.Unix(1_700_000_000, 0)
	told := map[time.Duration]int{}
	for range 5000 {
		told[l.admitPhone(now)]++
	}
	if told[0] != 100 {
		t.Errorf("%d came in", told[0])
	}

	for s := 1; s < int(longestWait/time.Second); s++ {
		if n := told[time.Duration(s)*time.Second]; n < 79 || n > 81 {
			t.Errorf("%d shall come back in %d s", n, s)
		}
	}

	for wait := range told {
		if wait > longestWait || wait%time.Second != 0 {
			t.Errorf("some shall come back in %v", wait)
		}
	}
}

func TestACrowdThatComesBackWhenToldFindsTheDoorOpen(t *testing.T) {
	l, now := newConnLimiter(100, 100), time.Unix(1_700_000_000, 0)
	due := map[int]int{0: 1500} // by the second
	tries := 0
	for second := 0; len(due) > 0; second++ {
		n := due[second]
		delete(due, second)

		for i := range n {
			// Spread by chance.
			at := now.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Second/time.Duration(n))
			if second == 0 {
				at = now
			}
			tries++
			if wait := l.admitPhone(at); wait > 0 {
				due[second+int(wait/time.Second)]++
			}
		}
	}

	if tries > 3200 {
		t.Errorf("1500 phones tried %d times", tries)
	}
}

func TestAPhoneAtAFullDoorIsToldWhenToComeBack(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.JoinsPerSec, cfg.Limits.JoinBurst = 0.001, 1 })
	open := func() *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(c.url, "ws"), nil)
		if err != nil {
			t.Fatal(err)
		}

		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}

		res.Body.Close()
		return res
	}

	if res := open(); res.StatusCode == http.StatusServiceUnavailable {
		t.Errorf("the first one is refused: %s", res.Status)
	}

	for range 2 {
		res := open()
		s, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode != http.StatusServiceUnavailable || err != nil || s < 1 || s > 30 {
			t.Errorf("told %s, come back in %q s", res.Status, res.Header.Get("Retry-After"))
		}
	}
}
