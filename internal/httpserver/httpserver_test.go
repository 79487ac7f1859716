package httpserver

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestAHeadThatNeverEndsIsCutOff drips a request's head for as long as the
// server lets it.
func TestAHeadThatNeverEndsIsCutOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	running.Go(func() { _ = Run(ctx, l, http.NotFoundHandler()) })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	over := make(chan struct{})
	running.Go(func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, conn) // until the server hangs up
	})
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Endless: ")
	for end := time.After(time.Minute); ; {
		select {
		case <-over:
			return
		case <-end:
			t.Fatal("the server still listens")
		case <-time.After(50 * time.Millisecond):
			if err == nil {
				_, err = io.WriteString(conn, "x")
			}
		}
	}
}
