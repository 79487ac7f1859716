package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/wire"
)

// ErrNotConnected says that there is no welcomed connection just now.
var ErrNotConnected = errors.New("no connection")

// SessionConfig says who a session is for, and who hears of what happens. The
// callbacks are optional. They run on Run's goroutine, one at a time, and no
// frame is read meanwhile. All but Do may be called from them.
type SessionConfig struct {
	// asked at first, and when a node does not take the old token any more
	Token TokenSource
	Retry RetryPolicy // nil means Client.DefaultRetry
	// a command without an ack is sent again; 0 means 4 s
	ResendAfter time.Duration
	GiveUpAfter time.Duration // after all tries; 0 means 60 s
	Log         *slog.Logger  // nil: none

	// OnConnect comes before each try. resume is nil on the first.
	OnConnect func(server string, resume *wire.Resume)

	// OnWelcome begins a connection; commands without an answer have been sent
	// again. resumed says whether there was one before. Set_available and
	// watch_area are not remembered: send them from here.
	OnWelcome func(w *wire.Welcome, resumed bool)

	// OnFrame gets every frame after the welcome, in the order in which they
	// came, and the time of that. f is used again for the next frame; what is
	// in its body may be kept. A position is acked when OnFrame returns.
	OnFrame func(f *wire.ServerFrame, at time.Time)

	// OnDisconnect comes at the end of each try and connection, and says
	// whether there was a welcome.
	OnDisconnect func(err error, welcomed bool)
}

func (c SessionConfig) withDefaults(client *Client) SessionConfig {
	c.ResendAfter, c.GiveUpAfter = cmp.Or(c.ResendAfter, resendAfter), cmp.Or(c.GiveUpAfter, giveUpAfter)
	if c.Retry == nil {
		c.Retry = client.DefaultRetry
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.OnConnect == nil {
		c.OnConnect = func(string, *wire.Resume) {}
	}
	if c.OnWelcome == nil {
		c.OnWelcome = func(*wire.Welcome, bool) {}
	}
	if c.OnFrame == nil {
		c.OnFrame = func(*wire.ServerFrame, time.Time) {}
	}
	if c.OnDisconnect == nil {
		c.OnDisconnect = func(error, bool) {}
	}

	return c
}

// Session is one driver or rider at the nodes, over any number of connections.
// Run keeps it connected; the other methods may be called from any goroutine.
type Session struct {
	client *Client
	cfg    SessionConfig

	// Run's goroutine's.
	token    string // "" before the first, and when a new one is needed
	attempts int    // chooses the server
	progress progress

	runningTimers sync.WaitGroup // timers at work

	mu          sync.Mutex // guards below
	conn        *Conn
	welcomed    bool   // on conn
	server      string // of the last welcome
	serverToken string // the token there
	// or about to: no connection and no command is taken any more
	ended   bool
	pending []*command
	timer   *time.Timer // of the commands; nil before the first
}

// NewSession makes a session, which connects when it runs.
func (c *Client) NewSession(cfg SessionConfig) *Session {
	return &Session{client: c, cfg: cfg.withDefaults(c)}
}

// Run keeps the session connected until the context ends, which is no error, or
// the retry policy says to stay away; the error is the reason. When it returns,
// the socket is closed and every command is done. It may be called once.
func (s *Session) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() { defer close(closed); s.beginEnd() })

	defer func() {
		cancel()
		<-closed
		s.endCommands()
	}()

	for attempt := 0; ; attempt++ {
		worked := s.token != "" // the token, before
		welcomed, err := s.runConnection(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if welcomed {
			attempt, worked = 0, true
		}

		s.attempts++ // any node goes on where another one stopped
		s.cfg.Log.Debug("connection lost", "err", err)

		pause, again := s.cfg.Retry(attempt, err)
		if code := CloseCode(err); worked && (code == wire.CloseTokenEnded || code == wire.CloseNoAuth) {
			// an old token may end, or be another node's: get a new one
			s.token, again = "", true
		}
		if !again {
			return fmt.Errorf("stay away: %w", err)
		}
		if !sleep.For(ctx, pause) {
			return nil
		}
	}
}

// runConnection lives through one connection. It returns why that ended, and whether
// there was a welcome.
func (s *Session) runConnection(ctx context.Context) (welcomed bool, err error) {
	defer func() {
		s.closeConnection()
		s.cfg.OnDisconnect(err, welcomed)
	}()
	resume := s.progress.resumePoint()

	conn, w, err := s.openConnection(ctx, resume)
	if err != nil {
		return false, err
	}

	s.progress.applyWelcome(w)
	s.resendAllCommands()
	s.cfg.OnWelcome(w, resume != nil)

	var f wire.ServerFrame
	for {
		at, err := conn.ReadFrame(&f)
		if err != nil {
			return true, err
		}
		s.handleFrame(conn, &f, at)
	}
}

// handleFrame does what every session does with a frame.
func (s *Session) handleFrame(conn *Conn, f *wire.ServerFrame, at time.Time) {
	s.progress.applyFrame(f)
	s.cfg.OnFrame(f, at)

	switch b := f.Body.(type) {
	case *wire.ServerFrame_Position:
		_ = conn.AckPosition(b.Position) // the next read fails if this does
	case *wire.ServerFrame_Ack:
		s.handleAck(b.Ack)
	}
}

// openConnection opens a connection and says hello until the node says welcome.
func (s *Session) openConnection(ctx context.Context, resume *wire.Resume) (*Conn, *wire.Welcome, error) {
	if s.client.dialSlots != nil {
		select {
		case s.client.dialSlots <- struct{}{}:
			defer func() { <-s.client.dialSlots }()
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}

	limited, cancel := context.WithTimeout(ctx, s.client.cfg.Timeout)
	defer cancel()

	server := s.client.ServerForAttempt(s.attempts)
	if s.token == "" {
		token, err := s.cfg.Token(limited, server)
		if err != nil {
			return nil, nil, err
		}
		s.token = token
	}

	s.cfg.OnConnect(server, resume)
	conn, err := s.client.Dial(limited, server)
	if err != nil {
		return nil, nil, err
	}
	if !s.adoptConnection(conn) {
		return nil, nil, context.Canceled
	}

	w, err := conn.SayHello(s.token, resume)
	if err != nil {
		return nil, nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.welcomed, s.server, s.serverToken = true, server, s.token
	return conn, w, nil
}

// adoptConnection makes conn the session's, or closes it when the session ends.
func (s *Session) adoptConnection(conn *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.ended {
		conn.Drop()
		return false
	}
	s.conn = conn
	return true
}

// closeConnection closes the connection, if there is one.
func (s *Session) closeConnection() {
	s.Drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.welcomed = nil, false
}

// beginEnd says goodbye, and lets no connection and no command begin.
func (s *Session) beginEnd() {
	s.mu.Lock()
	s.ended = true
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

// Send writes a frame that is no command, such as a fix, to the node. It may be
// lost with the connection. Errors: ErrNotConnected, or as Conn.Send.
func (s *Session) Send(f *wire.ClientFrame) error {
	s.mu.Lock()
	conn, welcomed := s.conn, s.welcomed
	s.mu.Unlock()
	if !welcomed {
		return ErrNotConnected
	}
	return conn.Send(f)
}

// Drop loses the connection without a word, as a tunnel does. Run connects
// again.
func (s *Session) Drop() {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		conn.Drop()
	}
}

// CallAPI is Client.CallAPI at the node that welcomed the session last, with the
// session's token. Errors: ErrNotConnected before the first welcome, or as
// Client.CallAPI.
func (s *Session) CallAPI(ctx context.Context, r Request, out any) error {
	s.mu.Lock()
	server := s.server
	r.Token = s.serverToken
	s.mu.Unlock()

	if server == "" {
		return ErrNotConnected
	}
	return s.client.CallAPI(ctx, server, r, out)
}
