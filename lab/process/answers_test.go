package process

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAURLAnswersWhenItSaysSuccess(t *testing.T) {
	status := http.StatusServiceUnavailable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()

	answers := HTTPAnswers(server.URL)
	if err := answers(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("not ready: %v", err)
	}

	status = http.StatusOK
	if err := answers(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}

	server.Close()
	if answers(t.Context()) == nil {
		t.Error("a closed server answers")
	}
}

// said listens once, and says the same to its one client.
func said(t *testing.T, words string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, words)

		// These block until the client has asked or gone.
		_, _ = conn.Read(make([]byte, 512))
		_, _ = conn.Read(make([]byte, 512))
	}()

	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestAServerThatIsNotReadyYetDoesNotAnswer(t *testing.T) {
	redis := func(ctx context.Context, at string) error { return RedisDo(ctx, at, "PING", "+PONG") }
	for name, c := range map[string]struct {
		words string
		ask   func(context.Context, string) error
		want  string // part of the error; empty when it serves
	}{
		"redis serves":                 {"+PONG\r\n", redis, ""},
		"redis reads its files":        {"-LOADING\r\n", redis, "LOADING"},
		"postgres serves":              {"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I", postgresAnswers, ""},
		"postgres recovers":            {"E\x00\x00\x00\x09rest\x00", postgresAnswers, "refuses"},
		"something else than postgres": {"HTTP/1.1 400 Bad Request", postgresAnswers, "message of"},
		"postgres stops in the middle": {"R\x00\x00", postgresAnswers, "timeout"},
	} {
		err := c.ask(t.Context(), said(t, c.words))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
