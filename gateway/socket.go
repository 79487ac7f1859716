package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// writeBuffers are shared by all sockets, so that an idle one has none.
var writeBuffers sync.Pool

// ServeSocket upgrades a request and gives the socket a reader goroutine of its
// own, so that the HTTP server's buffers and stack are not kept for as long as
// the socket lives.
func (g *Gateway) ServeSocket(w http.ResponseWriter, r *http.Request) {
	if g.open.Add(1) > int64(g.cfg.Limits.Sockets) || g.draining.Load() {
		g.open.Add(-1)
		g.refuseSocket(w, "sockets_full", 5*time.Second)
		return
	}
	if wait := g.connLimiter.admitPhone(time.Now()); wait > 0 {
		g.open.Add(-1)
		g.refuseSocket(w, "joins_too_fast", wait)
		return
	}

	up := websocket.Upgrader{
		WriteBufferPool: &writeBuffers, HandshakeTimeout: g.cfg.Limits.HelloWithin,
		Subprotocols: []string{wire.SubprotocolProto, wire.SubprotocolJSON}, CheckOrigin: g.originAllowed,
		Error: refuseUpgrade,
	}

	if asked := websocket.Subprotocols(r); len(asked) > 0 && !slices.ContainsFunc(asked, isOurSubprotocol) {
		g.open.Add(-1)
		refuseUpgrade(w, r, http.StatusBadRequest, errSubprotocol)
		return
	}

	under := &throttledHijacker{ResponseWriter: w, bytesPerSec: g.cfg.Limits.BytesPerSec}
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

func isOurSubprotocol(name string) bool {
	_, ok := wire.CodecFor(name)
	return ok
}

var errSubprotocol = errors.New("no subprotocol of ours")

// refuseUpgrade answers a request that does not become a socket. The WebSocket
// library calls it too; the problem is told in our words, by the request.
func refuseUpgrade(w http.ResponseWriter, r *http.Request, status int, err error) {
	code, text := wire.CodeBadFrame, "The header Sec-WebSocket-Key must be 16 bytes in base64."
	switch {
	case errors.Is(err, errSubprotocol):
		text = "None of the subprotocols is known here; offer " + wire.SubprotocolJSON + " or " + wire.SubprotocolProto + ", or none for JSON."
	case status == http.StatusForbidden:
		code, text = wire.CodeForbidden, "Pages of this origin may not open sockets here; a node allows others with --origin."
	case status == http.StatusInternalServerError:
		code, text = wire.CodeInternal, "The connection could not be taken over; try again."
	case !websocket.IsWebSocketUpgrade(r), r.Method != http.MethodGet:
		text = "Here is a WebSocket: send GET with Connection: Upgrade and Upgrade: websocket, as every WebSocket library does."
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		text = "Use version 13 of the WebSocket protocol, in the header Sec-WebSocket-Version."
	}
	problem.Write(w, code, status, text)
}

// refuseSocket answers with 503 and when to come back.
func (g *Gateway) refuseSocket(w http.ResponseWriter, reason string, wait time.Duration) {
	if !g.draining.Load() {
		g.metrics.drops.WithLabelValues(reason).Inc()
	}
	seconds := int(wait / time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	problem.Write(w, wire.CodeUnavailable, http.StatusServiceUnavailable,
		fmt.Sprintf("This node takes no more connections just now; come back in %d s.", seconds))
}

// originAllowed keeps other sites' pages from using a browser's session. Phones
// send no origin.
func (g *Gateway) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(g.cfg.Origins, "*") || slices.Contains(g.cfg.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

func (g *Gateway) newSession(ws *websocket.Conn, in *bufio.Reader) *session {
	codec, ok := wire.CodecFor(ws.Subprotocol())
	if !ok {
		codec = wire.JSON // for a person with a WebSocket tool
	}

	limits := g.cfg.Limits
	s := &session{g: g, conn: phoneConn{g: g, ws: ws, in: in, codec: codec,
		frames: rate.NewLimiter(rate.Limit(limits.FramesPerSec), limits.Burst)}}
	s.out.g, s.out.conn = g, &s.conn
	ws.SetPongHandler(s.handlePong)
	return s
}

// run is the socket's reader; it owns the connection.
func (s *session) run() {
	defer s.g.open.Add(-1)
	defer s.conn.Close()

	if !s.join() {
		s.conn.linger()
		return
	}
	defer s.leave()
	for !s.conn.hasEnded() {
		s.conn.awaitData()
		if err := s.readFrame(); err != nil {
			s.conn.closeAfter(err)
			break
		}
	}

	s.conn.linger()
}

// incoming is what reading one message needs; an idle socket has none.
type incoming struct {
	data  []byte
	frame wire.ClientFrame
}

var incomings = sync.Pool{New: func() any { return new(incoming) }}

// readFrame reads one message and acts on it. It returns errors of the
// connection only.
func (s *session) readFrame() error {
	kind, r, err := s.conn.ws.NextReader()
	if err != nil {
		return err
	}

	in := incomings.Get().(*incoming)
	defer incomings.Put(in)

	if in.data, err = s.conn.readAll(in.data[:0], r); err != nil {
		return err
	}

	now := s.g.cfg.Now()
	s.conn.framesRead.Add(1)
	s.conn.recordLife(now)
	if !s.conn.frames.AllowN(now, 1) {
		s.g.metrics.drops.WithLabelValues("too_many_frames").Inc()
		s.conn.closeWith(wire.ClosePolicy, "too many messages: send less")
		return nil
	}

	text := kind == websocket.TextMessage
	if text != s.conn.codec.Text() || text && !utf8.Valid(in.data) {
		s.conn.closeWith(wire.CloseBadData, "send UTF-8 text to ridehail.v1.json, binary to ridehail.v1.proto")
		return nil
	}
	if err := s.conn.codec.Decode(in.data, &in.frame); err != nil {
		s.refuseUnreadable(in.data)
		return nil
	}

	s.handleFrame(&in.frame, now)
	return nil
}

// refuseUnreadable answers a message that cannot be decoded, with the id of the
// command if that can be read.
func (s *session) refuseUnreadable(data []byte) {
	id := s.conn.codec.FindID(data)
	if !translate.IsPlainID(strings.ToValidUTF8(id[:min(len(id), translate.MaxID)], "")) {
		id = ""
	}
	fault := s.conn.codec.FindFault(data, new(wire.ClientFrame).ProtoReflect().Descriptor())
	s.sendRefusal(id, translate.Refuse(wire.CodeBadFrame, "This is not a frame: "+fault+"."))
}

func clipText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// handlePong runs on the reader. The pong of a list of cars says that the phone
// has read it.
func (s *session) handlePong(data string) error {
	if !s.conn.takesPong() {
		return nil
	}
	s.conn.recordLife(s.g.cfg.Now())
	if data == carsPing {
		s.out.ackCars()
	}
	return nil
}

// join authenticates the first message, registers the session and welcomes the
// phone. If it returns false the session is not registered.
func (s *session) join() bool {
	// Drain cannot find a session that is not registered, so it ends the base.
	defer context.AfterFunc(s.g.base, s.conn.Close)()
	s.conn.awaitHello()

	hello, err := s.conn.readHello()
	if err != nil {
		if !s.conn.hasEnded() {
			s.g.metrics.drops.WithLabelValues("no_hello").Inc()
			s.conn.closeWith(wire.CloseNoAuth, "say hello with a valid token within 5 seconds")
		}
		return false
	}

	if !s.authenticate(hello.GetToken()) || !s.g.registerSession(s) {
		return false
	}

	joined := s.joinNews()
	if s.closeIfRevoked() {
		// CloseRevoked may have run just before the session was registered.
		s.leave()
		return false
	}

	s.noteComeback(hello.GetResume())
	s.awaitNews(joined)
	if err := s.sendWelcome(hello.GetResume()); err != nil {
		s.g.cfg.Log.Warn("a phone could not be welcomed", "user", s.user, "err", err)
		s.conn.closeWith(wire.CloseOverload, "our database is slow: come back in some seconds")
		s.leave()
		return false
	}

	return true
}

// authenticate makes the token's user the session's; false ends the session.
func (s *session) authenticate(token string) bool {
	pass, err := s.g.cfg.Auth.Verify(token)
	if err != nil {
		s.g.metrics.drops.WithLabelValues("bad_token").Inc()
		code := wire.CloseNoAuth
		if errors.Is(err, auth.ErrRevoked) {
			code = wire.CloseTokenEnded
		}
		s.conn.closeWith(code, clipText(err.Error(), 100))
		return false
	}

	s.pass, s.user, s.until = pass, pass.Who, pass.Until
	s.conn.admitPhone()
	return true
}

// registerSession enters a session among those of the node: a driver has one, a
// rider a few. If it returns false the session has ended.
func (g *Gateway) registerSession(s *session) bool {
	g.presence.Lock()
	defer g.presence.Unlock()

	others := g.sessions.Add(s.user, s)
	switch {
	case g.draining.Load(): // perhaps too late for Drain to see this session
		g.sessions.Remove(s.user, s)
		s.conn.closeWith(closeDraining, "the node is stopping: come back")
		return false
	case s.user.Role == trips.RoleDriver:
		for _, o := range others {
			o.conn.closeWith(wire.CloseReplaced, "you connected again elsewhere")
		}
		s.handle = g.cfg.Drivers.Connect(trips.DriverID(s.user.ID), g.cfg.Node)
	case len(others) >= g.cfg.Limits.RiderSockets:
		g.sessions.Remove(s.user, s)
		g.metrics.drops.WithLabelValues("too_many_sockets").Inc()
		s.conn.closeWith(wire.CloseTooManyOpen, "too many connections of yours")
		return false
	}

	g.metrics.sessions.WithLabelValues(string(s.user.Role)).Inc()
	return true
}

// leave forgets the session. Offers in the hands of a driver whose last session
// this was go to the next driver.
func (s *session) leave() {
	s.mu.Lock()
	trip, active := s.cursor.trip, s.cursor.state.IsActive()
	s.left = true
	s.out.discardAll()
	s.g.chatSubscribers.moveSession(s, s.cursor.trip, "")
	s.mu.Unlock()

	if s.g.cfg.LeaveNews != nil {
		s.g.cfg.LeaveNews(s.user)
	}
	s.g.metrics.sessions.WithLabelValues(string(s.user.Role)).Dec()
	for _, o := range s.g.unregisterSession(s) {
		s.g.endThought(o.ID, codeGone, s.g.cfg.Tracer.Now())
		s.g.cfg.OnDriverGone(o)
	}
	if active && s.g.cfg.Tracer.Samples(string(trip)) {
		s.noteLoss(trip)
	}
}

// unregisterSession takes a session off the register, and a driver whose last
// one it was out of the shared state and the inbox. It returns the offers that
// were in the driver's hands.
func (g *Gateway) unregisterSession(s *session) (loose []dispatch.Offer) {
	g.presence.Lock()
	defer g.presence.Unlock()

	g.onWatchChanged(g.sessions.Unwatch(s))
	g.keepFramesOf(s)
	g.sessions.Remove(s.user, s)
	if s.user.Role != trips.RoleDriver || len(g.sessions.OfUser(s.user, nil)) > 0 {
		return nil
	}

	id := trips.DriverID(s.user.ID)
	g.cfg.Drivers.Disconnect(id, g.cfg.Node)

	for _, o := range g.cfg.Inbox.OffersOf(id) {
		if _, held := g.cfg.Inbox.Drop(o.ID); held {
			g.releaseHold(o)
			loose = append(loose, o)
		}
	}

	return loose
}
