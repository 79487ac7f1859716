package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/wire"
)

// testTimeout bounds every wait of these tests.
const testTimeout = 20 * time.Second

// fakeNode is a node whose part the test plays: it hands over each connection
// and each of its frames.
type fakeNode struct {
	*httptest.Server
	t      *testing.T
	conns  chan *fakeConn
	refuse http.HandlerFunc // answers instead of opening a socket; nil for none

	mu     sync.Mutex // guards the fields below
	tokens int        // given
	open   []*fakeConn
}

type fakeConn struct {
	t     *testing.T
	ws    *websocket.Conn
	codec wire.Codec
	// Closed when the connection has ended.
	frames chan *wire.ClientFrame
	code   int // the client's close code; set before frames is closed
}

func newFakeNode(t *testing.T) *fakeNode {
	n := &fakeNode{t: t, conns: make(chan *fakeConn, 64)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/dev/tokens", n.serveToken)

	var sockets sync.WaitGroup
	mux.HandleFunc("GET /v1/ws", func(w http.ResponseWriter, r *http.Request) {
		if n.refuse != nil {
			n.refuse(w, r)
			return
		}
		sockets.Add(1)
		defer sockets.Done()
		n.serveSocket(w, r)
	})
	n.Server = httptest.NewServer(mux)

	t.Cleanup(func() {
		n.mu.Lock()
		for _, c := range n.open {
			_ = c.ws.Close()
		}
		n.mu.Unlock()
		sockets.Wait()
		n.Close()
	})

	return n
}

func (n *fakeNode) serveToken(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Role, ID string }
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	n.tokens++
	fmt.Fprintf(w, `{"token":"%s/%s/%d"}`, ask.Role, ask.ID, n.tokens)
}

func (n *fakeNode) serveSocket(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{Subprotocols: []string{wire.SubprotocolProto, wire.SubprotocolJSON}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()

	c := &fakeConn{t: n.t, ws: ws, frames: make(chan *wire.ClientFrame, 64)}
	defer close(c.frames)

	c.codec, _ = wire.CodecFor(ws.Subprotocol())
	n.mu.Lock()
	n.open = append(n.open, c)
	n.mu.Unlock()
	n.conns <- c

	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			c.code = CloseCode(err)
			return
		}

		f := new(wire.ClientFrame)
		if err := c.codec.Decode(data, f); err != nil {
			n.t.Errorf("the client sent a frame that cannot be decoded: %v", err)
			return
		}

		c.frames <- f
	}
}

// acceptConn waits for a connection.
func (n *fakeNode) acceptConn() *fakeConn {
	n.t.Helper()
	return receiveIn(n.t, n.conns, "a connection")
}

// welcomeNext waits for a connection and its hello, and welcomes it.
func (n *fakeNode) welcomeNext(w *wire.Welcome) (*fakeConn, *wire.Hello) {
	n.t.Helper()
	c := n.acceptConn()
	hello := c.nextFrame().GetHello()
	if hello == nil {
		n.t.Fatal("the first frame is no hello")
	}

	w.Epoch = "e"
	c.send(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: w}})
	return c, hello
}

// nextFrame waits for a frame.
func (c *fakeConn) nextFrame() *wire.ClientFrame {
	c.t.Helper()
	return receiveIn(c.t, c.frames, "a frame")
}

func (c *fakeConn) send(f proto.Message) {
	data, err := c.codec.Append(nil, f)
	if err != nil {
		panic(err)
	}

	kind := websocket.BinaryMessage
	if c.codec.Text() {
		kind = websocket.TextMessage
	}
	_ = c.ws.WriteMessage(kind, data)
}

func (c *fakeConn) sendAck(a *wire.Ack) {
	c.send(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: a}})
}

func (c *fakeConn) closeWith(code int) {
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "bye"), time.Now().Add(time.Second))
}

func receiveIn[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(testTimeout):
		t.Fatalf("%s never came", what)
	}
	return v
}

// startSession runs a session that reconnects at once, until the test ends.
// ended receives what Run returns.
func startSession(t *testing.T, servers []string, change func(*Config, *SessionConfig)) (s *Session, ended <-chan error) {
	t.Helper()
	cfg, session := Config{Servers: servers, Name: "test/1"}, SessionConfig{Retry: retryAtOnce}
	var c *Client
	session.Token = func(ctx context.Context, server string) (string, error) {
		return c.DevToken(ctx, server, RoleRider, "ada")
	}
	if change != nil {
		change(&cfg, &session)
	}
	c = New(cfg)
	s = c.NewSession(session)
	ctx, cancel := context.WithCancel(context.Background())

	done := make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		done <- s.Run(ctx)
	}()

	t.Cleanup(func() {
		cancel()
		<-finished
		c.Close()
	})

	return s, done
}

// startSessionAt is startSession with one node, for sessions that do not end by
// themselves.
func startSessionAt(t *testing.T, n *fakeNode, change func(*Config, *SessionConfig)) *Session {
	t.Helper()
	s, _ := startSession(t, []string{n.URL}, change)
	return s
}
