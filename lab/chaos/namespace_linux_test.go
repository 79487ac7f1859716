package chaos

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ridehail/ridehail/lab/process"
)

// TestPacketsToANodeThatIsCutOffVanish knocks at a closed port in a namespace:
// a refusal is an answer, and silence is none. Without the right to make
// namespaces the reason is told.
func TestPacketsToANodeThatIsCutOffVanish(t *testing.T) {
	dir := t.TempDir()
	guard, err := process.NewGuard(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := guard.Close(); err != nil {
			t.Error(err)
		}
	})

	c := &city{cfg: Config{Nodes: 2}, dir: dir, guard: guard, unavailable: map[Kind]string{}}
	c.openNamespaces(t.Context())
	t.Cleanup(c.closeNamespaces)
	if why := c.unavailable[CutOffNode]; why != "" {
		_, left := c.feasibleFaults(Plan(1, time.Minute, 2, Engines{Namespaces: true}))
		if len(left) != 1 || !strings.Contains(left[0], why) {
			t.Fatalf("%s; told is %q", why, left)
		}
		return
	}

	cut, whole := c.namespaces[0], c.namespaces[1]
	expectAnswer(t, "whole", cut, true)
	reconnect, err := cut.cutOff(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expectAnswer(t, "cut off", cut, false)
	expectAnswer(t, "the other one", whole, true)
	if err := reconnect(); err != nil {
		t.Fatal(err)
	}
	expectAnswer(t, "whole again", cut, true)
}

func expectAnswer(t *testing.T, when string, s *namespace, want bool) {
	t.Helper()
	limit := 10 * time.Second
	if !want {
		limit = 200 * time.Millisecond
	}
	_, err := net.DialTimeout("tcp", net.JoinHostPort(s.inside, portInside), limit)
	if got := errors.Is(err, syscall.ECONNREFUSED); got != want {
		t.Errorf("%s: %v", when, err)
	}
	var timeout net.Error
	if !want && !(errors.As(err, &timeout) && timeout.Timeout()) {
		t.Errorf("%s: told: %v", when, err)
	}
}
