package httpapi

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/trips"
)

// A body that drips in keeps a connection, a goroutine and buffers for as long
// as the node lets it.
func TestABodyThatNeverEndsIsCutOff(t *testing.T) {
	r := newTestAPI(t, func(cfg *Config, _ *booking.Config) { cfg.BodyWithin = 200 * time.Millisecond })
	server := httptest.NewServer(r.public)
	defer server.Close()

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	_, err = io.WriteString(conn, "POST /v1/trips HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"+
		"Idempotency-Key: k\r\nAuthorization: Bearer "+r.issueToken(trips.RoleRider, "r")+"\r\n\r\n{")
	if err != nil {
		t.Fatal(err)
	}

	stop, dripping := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(dripping)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				_, _ = io.WriteString(conn, " ")
			}
		}
	}()

	answer, err := io.ReadAll(conn) // until the node hangs up
	close(stop)
	<-dripping
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("answered %s", answer)
	}

	for range 2 {
		// A client that sends all of it may take their time between requests.
		res, err := http.Post(server.URL+"/v1/dev/tokens", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		time.Sleep(300 * time.Millisecond)
	}

	http.DefaultClient.CloseIdleConnections()
}
