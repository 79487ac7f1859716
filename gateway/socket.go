package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

var writeBuffers sync.Pool // shared by all sockets, so that an idle one has none

// socket upgrades a request and gives the socket a reader of its own, so that the HTTP server's buffers and stack are
// not kept for as long as the socket lives.
func (g *Gateway) socket(w http.ResponseWriter, r *http.Request) {
	if g.open.Add(1) > int64(g.cfg.Limits.Sockets) || g.draining.Load() {
		g.open.Add(-1)
		g.refuseSocket(w, "sockets_full", 5*time.Second)
		return
	}
	if wait := g.turnstile.admit(time.Now()); wait > 0 {
		g.open.Add(-1)
		g.refuseSocket(w, "joins_too_fast", wait)
		return
	}
	up := websocket.Upgrader{
		WriteBufferPool: &writeBuffers, HandshakeTimeout: g.cfg.Limits.HelloWithin,
		Subprotocols: []string{wire.SubprotocolProto, wire.SubprotocolJSON}, CheckOrigin: g.originAllowed,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			code := wire.CodeBadFrame
			if status == http.StatusForbidden {
				code = wire.CodeForbidden
			}
			writeProblem(w, code, status, "No WebSocket could be opened: "+strings.TrimPrefix(reason.Error(), "websocket: ")+".")
		},
	}
	under := &throttler{ResponseWriter: w, bytesPerSec: g.cfg.Limits.BytesPerSec}
	conn, err := up.Upgrade(under, r, nil)
	if err != nil {
		g.open.Add(-1)
		return
	}
	s := g.newSession(conn, under.in)
	if !g.spawn(s.run) {
		g.open.Add(-1)
		conn.Close()
	}
}

// refuseSocket says when to come back.
func (g *Gateway) refuseSocket(w http.ResponseWriter, reason string, wait time.Duration) {
	if !g.draining.Load() {
		g.m.drops.WithLabelValues(reason).Inc()
	}
	seconds := int(wait / time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	writeProblem(w, wire.CodeUnavailable, http.StatusServiceUnavailable,
		fmt.Sprintf("This node takes no more connections just now; come back in %d s.", seconds))
}

// originAllowed keeps other sites' pages from using a browser's session. Phones send no origin.
func (g *Gateway) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(g.cfg.Origins, "*") || slices.Contains(g.cfg.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

func (g *Gateway) newSession(conn *websocket.Conn, in *bufio.Reader) *session {
	codec, ok := wire.For(conn.Subprotocol())
	if !ok {
		codec = wire.JSON // for a person with a WebSocket tool
	}
	s := &session{g: g, conn: conn, in: in, codec: codec, joining: true,
		frames: rate.NewLimiter(rate.Limit(g.cfg.Limits.FramesPerSec), g.cfg.Limits.Burst)}
	conn.SetReadLimit(g.cfg.Limits.Message)
	conn.SetPongHandler(s.pong)
	return s
}

// phoneLeft stands for a close code when the phone went first.
const phoneLeft = -1

// run is the socket's reader; it owns the connection.
func (s *session) run() {
	defer s.g.open.Add(-1)
	defer s.conn.Close()
	if !s.join() {
		s.linger()
		return
	}
	defer s.leave()
	for s.code.Load() == 0 {
		_, _ = s.in.Peek(1) // waits on so short a stack that it can shrink; an error comes again from next
		if err := s.next(); err != nil {
			s.lost(err)
			break
		}
	}
	s.linger()
}

// incoming is what reading one message needs; an idle socket has none.
type incoming struct {
	buf   bytes.Buffer
	frame wire.ClientFrame
}

var incomings = sync.Pool{New: func() any { return new(incoming) }}

// next reads one message and acts on it. Its errors are the connection's.
func (s *session) next() error {
	kind, r, err := s.conn.NextReader()
	if err != nil {
		return err
	}
	in := incomings.Get().(*incoming)
	defer incomings.Put(in)
	in.buf.Reset()
	s.inMessage = true // a pong between the parts of a message does not buy it more time
	_, err = in.buf.ReadFrom(r)
	s.inMessage = false
	if err != nil {
		return err
	}
	now := s.g.cfg.Now()
	s.hear(now)
	if !s.frames.AllowN(now, 1) {
		s.g.m.drops.WithLabelValues("too_many_frames").Inc()
		s.end(wire.ClosePolicy, "too many messages: send less")
		return nil
	}
	text := kind == websocket.TextMessage
	if text != s.codec.Text() || text && !utf8.Valid(in.buf.Bytes()) {
		s.end(wire.CloseBadData, "send UTF-8 text to ridehail.v1.json, binary to ridehail.v1.proto")
		return nil
	}
	if err := s.codec.Decode(in.buf.Bytes(), &in.frame); err != nil {
		s.ack(&wire.Ack{Code: string(wire.CodeBadFrame), Message: "This is not a frame we know: " + clip(err.Error(), 200)})
		return nil
	}
	s.handle(&in.frame, now)
	return nil
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// hear notes a sign of life and moves the read deadline.
func (s *session) hear(now time.Time) {
	s.heard.Store(now.UnixNano())
	if wall := time.Now(); wall.Sub(s.extended) > s.g.cfg.Limits.SilentFor/extensions {
		s.extended = wall
		_ = s.conn.SetReadDeadline(wall.Add(s.g.cfg.Limits.SilentFor)) // fails only on a dead connection, as the read will
		if s.code.Load() != 0 {                                        // end was called in between and wants the shorter one
			_ = s.conn.SetReadDeadline(wall.Add(closeWithin))
		}
	}
}

// pong runs on the reader. The pong of a cars frame gives its credit back.
func (s *session) pong(data string) error {
	if s.inMessage || s.user.ID == "" || s.code.Load() != 0 {
		return nil // it buys no time for a message that is not complete, nor for a hello
	}
	s.hear(s.g.cfg.Now())
	if data == carsPing {
		s.carsShown()
	}
	return nil
}

// lost names why reading ended, for the phone if it still hears and for the counters.
func (s *session) lost(err error) {
	var (
		network net.Error
		closed  *websocket.CloseError
	)
	switch {
	case s.code.Load() != 0: // we ended it
	case errors.Is(err, websocket.ErrReadLimit):
		s.g.m.drops.WithLabelValues("too_big").Inc()
		s.end(wire.CloseTooBig, "the message is too big")
	case errors.As(err, &network) && network.Timeout():
		s.g.m.drops.WithLabelValues("silent").Inc()
		s.end(wire.CloseSilent, "nothing heard from you: come back and resume")
	case errors.As(err, &closed), errors.As(err, &network), errors.Is(err, net.ErrClosed):
		s.code.CompareAndSwap(0, phoneLeft)
	default:
		s.g.m.drops.WithLabelValues("bad_framing").Inc()
		s.end(wire.CloseBadFrame, "broken framing") // the library has told the phone more
	}
}

// end closes the socket with a code; the first one counts. It does not block: the close frame is written aside, and the
// reader goes on discarding for a moment, because a connection closed with unread bytes is reset and the code lost.
func (s *session) end(code int, why string) {
	if !s.code.CompareAndSwap(0, int32(code)) {
		return
	}
	told := s.g.spawn(func() {
		now := time.Now()
		_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), now.Add(closeWithin/2))
		_ = s.conn.SetReadDeadline(now.Add(closeWithin)) // either fails only if the phone is gone
	})
	if !told {
		s.conn.Close()
	}
}

// linger waits until the phone has taken our close frame and answered it or hung up, reading what it still sends.
func (s *session) linger() {
	if s.code.Load() == phoneLeft {
		return
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(closeWithin))
	var err error
	for err == nil {
		_, _, err = s.conn.NextReader()
	}
	if closed := new(websocket.CloseError); errors.As(err, &closed) {
		return
	}
	_, _ = io.Copy(io.Discard, s.conn.NetConn())
}

// join authenticates the first message, registers the session and tells the phone where it stands.
func (s *session) join() bool {
	defer context.AfterFunc(s.g.base, func() { s.conn.Close() })() // a drain cannot find who is not registered
	s.extended = time.Now()
	_ = s.conn.SetReadDeadline(s.extended.Add(s.g.cfg.Limits.HelloWithin))
	hello, err := s.readHello()
	if err != nil {
		if s.code.Load() == 0 {
			s.g.m.drops.WithLabelValues("no_hello").Inc()
			s.end(wire.CloseNoAuth, "say hello with a valid token within 5 seconds")
		}
		return false
	}
	pass, err := s.g.cfg.Auth.Verify(hello.GetToken())
	if err != nil {
		s.g.m.drops.WithLabelValues("bad_token").Inc()
		code := wire.CloseNoAuth
		if errors.Is(err, ErrRevoked) {
			code = wire.CloseTokenEnded
		}
		s.end(code, clip(err.Error(), 100))
		return false
	}
	s.pass, s.user, s.until = pass, pass.Who, pass.Until
	s.extended = time.Time{}
	s.hear(s.g.cfg.Now())
	if !s.enter() {
		return false
	}
	if !s.unlessRevoked() { // it may have been just before the session was registered
		s.leave()
		return false
	}
	if err := s.welcome(hello.GetResume()); err != nil {
		s.g.cfg.Log.Warn("a phone could not be welcomed", "user", s.user, "err", err)
		s.end(wire.CloseOverload, "our database is slow: come back in some seconds")
		s.leave()
		return false
	}
	return true
}

func (s *session) readHello() (*wire.Hello, error) {
	kind, data, err := s.conn.ReadMessage()
	if err != nil {
		if errors.Is(err, websocket.ErrReadLimit) {
			s.end(wire.CloseTooBig, "the message is too big")
		}
		return nil, err
	}
	if (kind == websocket.TextMessage) != s.codec.Text() {
		return nil, errNoHello
	}
	var f wire.ClientFrame
	if err := s.codec.Decode(data, &f); err != nil {
		return nil, err
	}
	if f.GetHello() == nil {
		return nil, errNoHello
	}
	return f.GetHello(), nil
}

var errNoHello = errors.New("the first frame is not a hello")

// enter registers the session: a driver has one, a rider a few.
func (s *session) enter() bool {
	s.g.presence.Lock()
	defer s.g.presence.Unlock()
	others := s.g.sessions.Add(s.user, s)
	switch {
	case s.g.draining.Load(): // perhaps too late for Drain to see this session
		s.g.sessions.Remove(s.user, s)
		s.end(closeDraining, "the node is stopping: come back")
		return false
	case s.user.Role == trips.RoleDriver:
		for _, o := range others {
			o.end(wire.CloseReplaced, "you connected again elsewhere")
		}
		s.seat = s.g.cfg.Drivers.Enter(trips.DriverID(s.user.ID), s.g.cfg.Node)
	case len(others) >= s.g.cfg.Limits.RiderSockets:
		s.g.sessions.Remove(s.user, s)
		s.g.m.drops.WithLabelValues("too_many_sockets").Inc()
		s.end(wire.CloseTooManyOpen, "too many connections of yours")
		return false
	}
	s.g.m.sessions.WithLabelValues(string(s.user.Role)).Inc()
	return true
}

// leave forgets the session. Offers in the hands of a driver whose last session this was go to the next driver.
func (s *session) leave() {
	s.mu.Lock()
	s.left = true
	s.discardLocked()
	s.g.rooms.move(s, s.talk.trip, "")
	s.mu.Unlock()
	s.g.m.sessions.WithLabelValues(string(s.user.Role)).Dec()
	for _, o := range s.depart() {
		s.g.cfg.OnDriverGone(o)
	}
}

// depart takes the session off the register, and a driver whose last one it was off the road. It returns the offers
// that were in their hands.
func (s *session) depart() (loose []dispatch.Offer) {
	s.g.presence.Lock()
	defer s.g.presence.Unlock()
	s.g.sessions.Remove(s.user, s)
	if s.user.Role != trips.RoleDriver || len(s.g.sessions.Of(s.user, nil)) > 0 {
		return nil
	}
	id := trips.DriverID(s.user.ID)
	s.g.cfg.Drivers.Leave(id, s.g.cfg.Node)
	for _, o := range s.g.cfg.Inbox.Held(id) {
		if _, held := s.g.cfg.Inbox.Drop(o.ID); held {
			loose = append(loose, o)
		}
	}
	return loose
}
