package latency

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

const (
	patience = 10 * time.Second // for one answer of the node
	pings    = 5                // to estimate a clock offset; the quickest counts
)

// phone is one socket. Its reader goroutine owns reading; writes take the lock.
type phone struct {
	id     string
	conn   *websocket.Conn
	codec  wire.Codec
	offset float64 // the node's clock minus ours, ms; fixed before the reader starts
	base   location.Point
	moving atomic.Bool // else the car waits at its base, where no other car can be nearer

	mu  sync.Mutex
	seq uint32
	buf []byte
}

func nowMs() float64 { return wire.Millis(time.Now()) }

// dial opens a socket with buffers for thousands of them.
func dial(ctx context.Context, server, path string, codec wire.Codec) (*phone, error) {
	d := websocket.Dialer{ReadBufferSize: 1024, WriteBufferPool: writeBuffers, HandshakeTimeout: patience,
		Subprotocols: []string{subprotocol(codec)}}
	for end := time.Now().Add(patience); ; {
		conn, res, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(server, "http")+path, nil)
		if err == nil {
			return &phone{conn: conn, codec: codec}, nil
		}
		if res == nil || res.StatusCode != http.StatusServiceUnavailable || time.Now().After(end) {
			return nil, fmt.Errorf("open a socket: %w", err)
		}
		if !sleep.For(ctx, time.Second) { // the node takes no more in this second
			return nil, ctx.Err()
		}
	}
}

var writeBuffers = &sync.Pool{}

func subprotocol(c wire.Codec) string {
	if c.Text() {
		return wire.SubprotocolJSON
	}
	return wire.SubprotocolProto
}

// login opens a socket to a node and says hello with a development token.
func login(ctx context.Context, cfg Config, role, id string) (*phone, error) {
	token, err := devToken(ctx, cfg.Server, role, id)
	if err != nil {
		return nil, err
	}
	p, err := dial(ctx, cfg.Server, "/v1/ws", cfg.Codec)
	if err != nil {
		return nil, err
	}
	p.id = id
	if err := p.greet(token); err != nil {
		p.conn.Close()
		return nil, fmt.Errorf("%s %s: %w", role, id, err)
	}
	return p, nil
}

func devToken(ctx context.Context, server, role, id string) (string, error) {
	body, err := json.Marshal(struct {
		Role string `json:"role"`
		ID   string `json:"id"`
	}{role, id})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v1/dev/tokens", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return "", fmt.Errorf("no token: %s; start the node with --dev-tokens", res.Status)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&answer); err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return answer.Token, nil
}

// greet says hello and compares clocks, before any reader runs.
func (p *phone) greet(token string) error {
	hello := &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token, Client: "latency"}}}
	if err := p.write(hello); err != nil {
		return err
	}
	if _, err := p.await(func(f *wire.ServerFrame) bool { return f.GetWelcome() != nil }); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	best := -1.0
	for range pings {
		sent := nowMs()
		if err := p.write(&wire.ClientFrame{Body: &wire.ClientFrame_Ping{Ping: &wire.Ping{T1Ms: sent}}}); err != nil {
			return err
		}
		f, err := p.await(func(f *wire.ServerFrame) bool { return f.GetPong() != nil })
		if err != nil {
			return fmt.Errorf("compare clocks: %w", err)
		}
		got, pong := nowMs(), f.GetPong()
		if trip := (got - sent) - (pong.T3Ms - pong.T2Ms); best < 0 || trip < best {
			best, p.offset = trip, ((pong.T2Ms-sent)+(pong.T3Ms-got))/2
		}
	}
	return p.conn.SetReadDeadline(time.Time{})
}

// await reads until a frame is the one wanted.
func (p *phone) await(wanted func(*wire.ServerFrame) bool) (*wire.ServerFrame, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	for {
		_, data, err := p.conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		var f wire.ServerFrame
		if err := p.codec.Decode(data, &f); err != nil {
			return nil, err
		}
		if wanted(&f) {
			return &f, nil
		}
	}
}

func (p *phone) write(f proto.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writeLocked(f)
}

func (p *phone) writeLocked(f proto.Message) (err error) {
	if p.buf, err = p.codec.Append(p.buf[:0], f); err != nil {
		return err
	}
	kind := websocket.BinaryMessage
	if p.codec.Text() {
		kind = websocket.TextMessage
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return p.conn.WriteMessage(kind, p.buf)
}

// fix sends where the car is at the time the update was due.
func (p *phone) fix(due time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	at, speed := p.base, float32(0)
	if p.moving.Load() {
		at, speed = circle(p.base, due), 5
	}
	return p.writeLocked(&wire.ClientFrame{Body: &wire.ClientFrame_Fix{Fix: &wire.Fix{Seq: p.seq, AtMs: wire.Millis(due),
		Point: &wire.Point{Lng: at.Lng, Lat: at.Lat}, Speed: speed, Accuracy: 5}}})
}

// read hands every message to handle until the socket ends. The buffer is reused.
func (p *phone) read(handle func(data []byte) error) error {
	var buf bytes.Buffer
	for {
		_, r, err := p.conn.NextReader()
		if err != nil {
			return err
		}
		buf.Reset()
		if _, err := buf.ReadFrom(r); err != nil {
			return err
		}
		if err := handle(buf.Bytes()); err != nil {
			return err
		}
	}
}
