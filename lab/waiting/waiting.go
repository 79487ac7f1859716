// Package waiting holds the experiments about waiting for others: fanout,
// provider and retries.
package waiting

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
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

// readBody reads a request's body now, and gives it back to the request. Only
// then the server notices a client that leaves, and later its client may be
// gone.
func readBody(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<10))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return err
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

// scheduleEvenly returns when things happen that happen so often a second:
// evenly, and up to four tenths of the distance earlier or later.
func scheduleEvenly(rng *rand.Rand, rate float64, length time.Duration) []time.Duration {
	gap := float64(time.Second) / rate
	times := make([]time.Duration, int(length.Seconds()*rate))
	for i := range times {
		times[i] = time.Duration(gap * (float64(i) + .5 + .8*(rng.Float64()-.5)))
	}
	return times
}

// secret is the key of all emulated providers.
const secret = "sk_lab"

// fare is what each ride costs.
var fare = trips.Money{Minor: 250_000, Currency: "NGN"}

// orderCharge returns the order of one fare.
func orderCharge(reference string) payments.ChargeOrder {
	return payments.ChargeOrder{Reference: reference, Amount: fare, Email: "rider@riders.example", Authorization: "AUTH_lab"}
}

// formatMillis writes a duration in milliseconds.
func formatMillis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms >= 10 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2g ms", ms)
}
