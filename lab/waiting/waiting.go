// Package waiting holds the experiments about waiting for others: fanout,
// provider and retries.
package waiting

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/events"
)

// server is an HTTP server on a free port of this machine.
type server struct {
	URL, Addr string
	http      *http.Server
	served    chan error
	conns     sync.WaitGroup
}

// serveHandler starts a server. The caller must Close it.
func serveHandler(h http.Handler) (*server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("a port for the experiment: %w", err)
	}

	s := &server{URL: "http://" + ln.Addr().String(), Addr: ln.Addr().String(), served: make(chan error, 1)}
	s.http = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // it would tell of connections that are cut on purpose
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.conns.Add(1)
			case http.StateClosed:
				s.conns.Done()
			}
		}}
	go func() { s.served <- s.http.Serve(ln) }()
	return s, nil
}

// Close cuts all connections and waits for the requests in hand. Their handlers
// must have been told to end, or notice that the connection is cut.
func (s *server) Close() {
	_ = s.http.Close()
	<-s.served
	s.conns.Wait()
}

// newClient returns a client that keeps up to conns connections to a server.
// The caller must call its CloseIdleConnections.
func newClient(conns int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns, DisableCompression: true}}
}

// formatCount returns "1 word" or "n words".
func formatCount(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// enqueueJob leaves a job. On a machine that is very busy the queue may answer
// too late: then the job is left again, which is harmless.
func enqueueJob(ctx context.Context, redis *events.Redis, stream, jobID string) error {
	var err error
	for range 5 {
		if err = redis.EnqueueJob(ctx, stream, jobID, nil); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// medianOf returns the middle of some durations, and 0 of none.
func medianOf(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// formatMillis writes a duration in milliseconds.
func formatMillis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms >= 10 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2g ms", ms)
}
