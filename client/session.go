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

// ErrNotConnected means that the session has no welcomed connection now.
var ErrNotConnected = errors.New("no connection")

// SessionConfig describes the user of a session and its callbacks. Only Token
// is required. The callbacks run on Run's goroutine, one at a time; while one
// runs, the session reads no frame. A callback may call any method of the
// session except Do.
type SessionConfig struct {
	// Token is asked for the first token, and for a new one when a node no
	// longer accepts the old one.
	Token TokenSource

	// FirstServer is the index in Config.Servers of the first node to connect
	// to; it counts on from the first again beyond the last. The nodes after it
	// are tried in turn.
	FirstServer int

	// Retry decides when to connect again. Nil means Client.DefaultRetry.
	Retry RetryPolicy

	// ResendAfter is how long a command waits for an ack before it is sent
	// again. 0 means 4 s.
	ResendAfter time.Duration

	// GiveUpAfter is how old a command gets before it ends with ErrNoAnswer.
	// 0 means 60 s.
	GiveUpAfter time.Duration

	// Log receives lost connections at debug level. Nil means no log.
	Log *slog.Logger

	// OnConnect is called before each attempt to connect. resume is nil before
	// the first welcome.
	OnConnect func(server string, resume *wire.Resume)

	// OnWelcome is called when a connection begins, after unanswered commands
	// were sent again. resumed is false for the first connection only. The
	// session does not repeat set_available and watch_area: send them here.
	OnWelcome func(w *wire.Welcome, resumed bool)

	// OnFrame is called with every frame after the welcome, in order of
	// arrival. The session reuses f, but the message in f.Body may be kept.
	// When OnFrame returns, the session acks a position and ends the command of
	// an ack.
	OnFrame func(f *wire.ServerFrame, receivedAt time.Time)

	// OnDisconnect is called after each lost connection and each failed
	// attempt. welcomed tells the two apart.
	OnDisconnect func(err error, welcomed bool)

	// OnRepeat is called after a command was written once more under its id,
	// because no answer had come or the answer said "try again", and after the
	// last fix was written before a step that is sent again. It may also run on
	// a timer's goroutine, beside the other callbacks.
	OnRepeat func(f *wire.ClientFrame)
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
	if c.OnRepeat == nil {
		c.OnRepeat = func(*wire.ClientFrame) {}
	}

	return c
}

// Session is one driver or rider, over any number of connections. Run keeps it
// connected; the other methods may be called from any goroutine.
type Session struct {
	// Fixed at creation.
	client *Client
	cfg    SessionConfig

	// Run's goroutine's.
	token    string // "" when a new one is needed
	attempts int    // chooses the server
	progress progress

	runningTimers sync.WaitGroup // calls of resendDueCommands

	mu          sync.Mutex // guards the fields below
	conn        *Conn
	welcomed    bool       // conn is welcomed
	server      string     // the node of the last welcome
	serverToken string     // the token used there
	ended       bool       // no connection and no command begins any more
	pending     []*command // unanswered, oldest first
	lastFix     *wire.Fix  // of the driver; nil before the first
	// timer calls resendDueCommands. It is nil before the first command.
	timer *time.Timer
}

// NewSession makes a session. It connects when Run is called.
func (c *Client) NewSession(cfg SessionConfig) *Session {
	return &Session{client: c, cfg: cfg.withDefaults(c), attempts: max(cfg.FirstServer, 0)}
}

// Run keeps the session connected until ctx ends, and then returns nil. It
// returns an error when the retry policy says not to reconnect. When Run
// returns, the socket is closed and the done function of every command has been
// called. Run may be called once.
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
		tokenWorked := s.token != ""
		welcomed, err := s.runConnection(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if welcomed {
			attempt, tokenWorked = 0, true
		}

		s.attempts++ // any node goes on where another one stopped
		s.cfg.Log.Debug("connection lost", "err", err)

		pause, again := s.cfg.Retry(attempt, err)
		if code := CloseCode(err); tokenWorked && (code == wire.CloseTokenEnded || code == wire.CloseNoAuth) {
			// The token may have expired or belong to another node: get a new
			// one.
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

// runConnection opens one connection and reads it to its end. It returns why it
// ended, and whether the node welcomed it.
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

// handleFrame passes a frame to OnFrame and does the session's own part.
func (s *Session) handleFrame(conn *Conn, f *wire.ServerFrame, at time.Time) {
	s.progress.applyFrame(f)
	s.cfg.OnFrame(f, at)

	switch b := f.Body.(type) {
	case *wire.ServerFrame_Position:
		// If this fails, so does the next read.
		_ = conn.AckPosition(b.Position)
	case *wire.ServerFrame_Ack:
		s.handleAck(b.Ack)
	}
}

// openConnection gets a token if needed, dials, and waits for the welcome.
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

// adoptConnection makes conn the session's. It closes conn and returns false
// when the session has ended.
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

// closeConnection closes and forgets the connection, if there is one.
func (s *Session) closeConnection() {
	s.Drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.welcomed = nil, false
}

// beginEnd closes the connection. After it, no connection and no command
// begins.
func (s *Session) beginEnd() {
	s.mu.Lock()
	s.ended = true
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

// Send writes a frame once, without an ack, such as a fix or a ping. The frame
// may be lost with the connection. A fix must not change afterwards: the last
// one goes before an unanswered step of a trip on the next connection, whose
// node asks where the car is. Errors: ErrNotConnected, or as Conn.Send.
func (s *Session) Send(f *wire.ClientFrame) error {
	s.mu.Lock()
	conn, welcomed := s.conn, s.welcomed
	if fix, ok := f.Body.(*wire.ClientFrame_Fix); ok {
		s.lastFix = fix.Fix
	}
	s.mu.Unlock()
	if !welcomed {
		return ErrNotConnected
	}
	return conn.Send(f)
}

// Drop closes the connection without a close frame, as a lost network does. Run
// then connects again.
func (s *Session) Drop() {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		conn.Drop()
	}
}

// CallAPI is Client.CallAPI at the node that last welcomed the session, with
// the session's token in place of r.Token. Errors: ErrNotConnected before the
// first welcome, or as Client.CallAPI.
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
