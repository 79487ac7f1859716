package simulators

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

const (
	silence     = 60 * time.Second // without a ping or a frame, the connection is taken for dead
	writeWithin = 5 * time.Second
)

// phone is one session that outlives its connections. One goroutine connects and reads; the owner, another, takes what
// is for it from frames, and writes. frames closes when the phone is off for good; err then says why.
type phone struct {
	net      *network
	role, id string
	stripe   int          // of the histograms
	prefix   string       // of command ids
	drops    *rand.Rand   // nil unless flaky
	witness  *witness     // the reader's
	token    string       // the reader's
	turn     int          // of the nodes; the reader's
	buf      bytes.Buffer // the reader's
	frames   chan *wire.ServerFrame
	err      error
	cancel   context.CancelFunc
	writing  sync.Mutex
	out      []byte // guarded by writing

	mu       sync.Mutex // guards below
	conn     *websocket.Conn
	ready    bool   // the node said welcome on conn
	server   string // of conn
	pass     string // the token there
	off      bool
	commands []*command // un-acked, oldest first
	made     int
}

// phone switches a phone on. The caller must call stop, which waits for it.
func (n *network) phone(ctx context.Context, role, id string, stripe int) *phone {
	ctx, cancel := context.WithCancel(ctx)
	p := &phone{net: n, role: role, id: id, stripe: stripe, prefix: uuid.NewString(), cancel: cancel,
		frames: make(chan *wire.ServerFrame, 16), witness: newWitness(n.stats, role, id)}
	p.witness.note = p.journal
	if n.dropEvery > 0 {
		p.drops = stream(n.seed, id, "drops")
	}
	go p.live(ctx)
	return p
}

// live keeps the phone connected until it is stopped or told to stay away.
func (p *phone) live(ctx context.Context) {
	defer close(p.frames)
	for attempt := 0; ; attempt++ {
		old := p.token
		welcomed, err := p.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		code := closeCode(err)
		switch {
		case (code == wire.CloseTokenEnded || code == wire.CloseNoAuth) && old != "":
			p.token = "" // an old token may end, or be another node's: get a new one
		case errors.Is(err, ErrRefused), code != 0 && !wire.ComeBack(code):
			p.err = fmt.Errorf("%s %s stays away: %w", p.role, p.id, err)
			return
		}
		if welcomed {
			attempt = 0
		}
		p.turn++ // any node goes on where another one stopped
		p.net.log.Debug("connection lost", "who", p.id, "err", err)
		hint := comeBackAfter(err, code)
		if attempt+1 < len(p.net.servers) {
			hint = 0 // it is one node's wish, and the next one may have room
		}
		if !sleep.For(ctx, backoff(attempt, code, hint)) {
			return
		}
	}
}

// closeCode is the node's close code, or 0 for a lost connection.
func closeCode(err error) int {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return closed.Code
	}
	return 0
}

// connect lives through one connection and returns why it ended, and whether it ever was one.
func (p *phone) connect(ctx context.Context) (welcomed bool, err error) {
	conn, resumed, err := p.enter(ctx)
	if conn != nil {
		defer func() { _ = conn.Close() }()
	}
	if err != nil {
		return false, err
	}
	p.net.stats.connected(p.role).Add(1)
	defer p.net.stats.connected(p.role).Add(-1)
	if resumed {
		p.net.stats.reconnects.Add(1)
	}
	defer func() {
		p.mu.Lock()
		p.conn, p.ready = nil, false
		p.mu.Unlock()
		p.journal(journal.Record{What: journal.Lost, Count: p.witness.n})
	}()
	p.send(&wire.ClientFrame{Body: &wire.ClientFrame_Ping{Ping: &wire.Ping{T1Ms: wire.Millis(time.Now())}}})
	for {
		f, err := p.read(conn, silence)
		if err != nil {
			return true, err
		}
		if !p.hear(f, time.Now()) {
			continue
		}
		if err := p.hand(ctx, f); err != nil {
			return true, err
		}
	}
}

// hand gives a frame to the owner.
func (p *phone) hand(ctx context.Context, f *wire.ServerFrame) error {
	select {
	case p.frames <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter opens a connection and says hello until the node says welcome.
func (p *phone) enter(ctx context.Context) (conn *websocket.Conn, again bool, err error) {
	select {
	case p.net.dialing <- struct{}{}:
		defer func() { <-p.net.dialing }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, p.net.patience())
	defer cancel()
	server := p.net.server(p.turn)
	if p.token == "" {
		if p.token, err = p.net.token(limited, server, p.role, p.id); err != nil {
			return nil, false, err
		}
	}
	resume := p.witness.resume()
	p.hello(server, resume)
	if conn, err = p.net.dial(limited, server); err != nil {
		return nil, false, err
	}
	if !p.adopt(conn) {
		return conn, false, context.Canceled
	}
	hello := &wire.Hello{Token: p.token, Client: "ridehail simulator", Resume: resume}
	if err := p.write(conn, &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: hello}}); err != nil {
		return conn, false, err
	}
	f, err := p.read(conn, p.net.patience())
	if err != nil {
		return conn, false, err
	}
	w := f.GetWelcome()
	if w == nil {
		p.net.stats.violate("%s %s: the first frame is %T, not a welcome", p.role, p.id, f.Body)
		return conn, false, errors.New("no welcome")
	}
	p.welcome(conn, w, resume != nil)
	p.resend(time.Now())
	return conn, resume != nil, p.hand(ctx, f)
}

// adopt makes conn the phone's connection, unless the phone is off.
func (p *phone) adopt(conn *websocket.Conn) bool {
	conn.SetPingHandler(func(text string) error {
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		err := conn.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(writeWithin))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil
		}
		return err
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.ready = conn, false
	return !p.off
}

func (p *phone) welcome(conn *websocket.Conn, w *wire.Welcome, resuming bool) {
	if w.Recovered && resuming {
		p.net.stats.resumed.Add(1)
	}
	p.welcomed(w)
	p.witness.welcome(w)
	if len(p.net.servers) > 1 {
		p.witness.elsewhere()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = p.conn == conn
	p.server, p.pass = p.net.server(p.turn), p.token
}

// drop loses the connection without a word, as in a tunnel. The phone comes back by itself.
func (p *phone) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

// stop says goodbye, switches the phone off and waits for its reader.
func (p *phone) stop() {
	p.mu.Lock()
	p.off = true
	conn := p.conn
	p.mu.Unlock()
	if conn != nil {
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(200*time.Millisecond))
		_ = conn.Close()
	}
	p.cancel()
	for range p.frames { // closes when the reader ends
	}
	p.switchedOff()
}
