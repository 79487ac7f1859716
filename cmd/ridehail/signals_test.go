package main

import (
	"net/http"
	"syscall"
	"testing"
	"time"
)

// awaitNotReady waits until a node says that it should get no traffic.
func awaitNotReady(t *testing.T, c *child, url string) {
	t.Helper()
	for {
		res, err := http.Get(url + "/readyz")
		if err != nil {
			t.Fatalf("the node refuses connections before it has said that it is not ready: %v", err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable {
			return
		}
		select {
		case <-c.ended:
			t.Fatalf("the program ended with %d", c.code)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestTheFirstSignalBeginsTheDelayAndTheSecondEndsIt(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		address := freeAddress(t)
		node := startChild(t, "serve", "--dev-tokens", "--listen", address, "--admin", "", "--data", t.TempDir(), "--drain-delay", "1h")
		awaitReady(t, &node.program, "http://"+address)
		node.signal(t, s)
		awaitNotReady(t, node, "http://"+address)
		node.signal(t, s)
		if code := node.wait(t); code != exitDone {
			t.Errorf("%v twice: exit %d", s, code)
		}
	}
}
