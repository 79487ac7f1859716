package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/wire"
)

// ProtocolError means that the node sent a frame that the protocol forbids.
type ProtocolError struct {
	What string // describes the frame
}

func (e *ProtocolError) Error() string { return e.What }

// Conn is one socket. One goroutine at a time may call SayHello, ReadFrame,
// ReadFrameWithin and AckPosition; any number may call Send, Drop and Close.
type Conn struct {
	// Fixed when the connection is opened.
	ws               *websocket.Conn
	codec            wire.Codec
	messageType      int // of WebSocket messages: text or binary
	name             string
	timeout, silence time.Duration

	// The reader goroutine's.
	readBuffer      bytes.Buffer
	hasReadDeadline bool
	ackedPosition   uint32 // its number N

	// When the node was last heard, in Unix nanoseconds. The reader writes it.
	heardAt atomic.Int64

	// The node wants to know when commands were sent. The reader writes it.
	wantsSentTime atomic.Bool

	writing     sync.Mutex // held while a frame is written; guards below
	writeBuffer []byte
	stamped     wire.ClientFrame // scratch: a frame with the time it was sent
	probedAt    time.Time        // of the last ping
}

// Dial opens a socket at a node, http://HOST:PORT; SayHello must follow.
// Errors: *StatusError when the node refuses, otherwise a network error or that
// of ctx.
func (c *Client) Dial(ctx context.Context, server string) (*Conn, error) {
	return c.DialURL(ctx, "ws"+strings.TrimPrefix(server, "http")+"/v1/ws")
}

// DialURL is Dial for any socket address, ws://HOST:PORT/PATH.
func (c *Client) DialURL(ctx context.Context, url string) (*Conn, error) {
	ws, res, err := c.dialer.DialContext(ctx, url, nil)
	if err != nil {
		if res != nil && res.Request != nil {
			if refused := newStatusError(res, nil); refused != nil {
				return nil, refused
			}
		}
		return nil, fmt.Errorf("open a socket: %w", err)
	}

	conn := &Conn{ws: ws, codec: c.cfg.Codec, messageType: websocket.BinaryMessage, name: c.cfg.Name,
		timeout: c.cfg.Timeout, silence: c.cfg.Silence}
	if conn.codec.Text() {
		conn.messageType = websocket.TextMessage
	}

	conn.heardAt.Store(time.Now().UnixNano())
	ws.SetPingHandler(conn.answerPing)
	ws.SetPongHandler(func(string) error { return conn.noteLife() })
	return conn, nil
}

// noteLife runs on the reader goroutine. Like a frame, a ping or a pong extends
// the read deadline.
func (c *Conn) noteLife() error {
	now := time.Now()
	c.heardAt.Store(now.UnixNano())
	if !c.hasReadDeadline || c.silence <= 0 {
		return nil
	}
	return c.ws.SetReadDeadline(now.Add(c.silence))
}

// answerPing runs on the reader goroutine.
func (c *Conn) answerPing(text string) error {
	if err := c.noteLife(); err != nil {
		return err
	}

	err := c.ws.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(writeTimeout))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// SayHello presents the token and returns the node's welcome. resume is nil on
// a first connection. Errors: *ProtocolError when another frame comes first,
// otherwise why the connection ended (see CloseCode).
func (c *Conn) SayHello(token string, resume *wire.Resume) (*wire.Welcome, error) {
	if err := c.Send(NewFrame(&wire.Hello{Token: token, Client: c.name, Resume: resume})); err != nil {
		return nil, err
	}
	var f wire.ServerFrame
	if _, err := c.ReadFrameWithin(c.timeout, &f); err != nil {
		return nil, err
	}

	w := f.GetWelcome()
	if w == nil {
		return nil, &ProtocolError{fmt.Sprintf("the first frame is %T, not a welcome", f.Body)}
	}
	c.wantsSentTime.Store(w.WantsSentMs)
	return w, nil
}

// ReadFrame waits for the next frame and decodes it into f, a
// *wire.ServerFrame. f may be reused for the next call: the messages inside are
// new each time. Fields of newer nodes are skipped; f.Body is nil for a message
// that this client does not know. receivedAt is when the last byte had arrived,
// before decoding. Errors: *ProtocolError when the frame cannot be decoded,
// otherwise why the connection ended (see CloseCode), also after Config.Silence
// without a frame, ping or pong.
func (c *Conn) ReadFrame(f proto.Message) (receivedAt time.Time, err error) {
	return c.ReadFrameWithin(c.silence, f)
}

// ReadFrameWithin is ReadFrame with a limit of its own in place of
// Config.Silence. 0 or less means no limit.
func (c *Conn) ReadFrameWithin(limit time.Duration, f proto.Message) (receivedAt time.Time, err error) {
	if err := c.setReadLimit(limit); err != nil {
		return receivedAt, err
	}
	_, r, err := c.ws.NextReader()
	if err != nil {
		return receivedAt, err
	}

	c.readBuffer.Reset()
	if _, err := c.readBuffer.ReadFrom(r); err != nil {
		return receivedAt, err
	}

	receivedAt = time.Now()
	c.heardAt.Store(receivedAt.UnixNano())
	if err := c.codec.DecodeKnown(c.readBuffer.Bytes(), f); err != nil {
		return receivedAt, &ProtocolError{fmt.Sprintf("a frame cannot be read: %v", err)}
	}

	return receivedAt, nil
}

func (c *Conn) setReadLimit(limit time.Duration) error {
	if limit > 0 {
		c.hasReadDeadline = true
		return c.ws.SetReadDeadline(time.Now().Add(limit))
	}
	if !c.hasReadDeadline {
		return nil
	}

	c.hasReadDeadline = false
	return c.ws.SetReadDeadline(time.Time{})
}

// Send writes a frame, a *wire.ClientFrame. Commands and position acks carry
// the time of this writing if the node wants it. Send blocks for up to 5 s while
// the node does not read. After a failed write it closes the socket, so that the
// reader notices.
func (c *Conn) Send(f proto.Message) (err error) {
	c.writing.Lock()
	defer c.writing.Unlock()

	now := time.Now()
	if c.writeBuffer, err = c.codec.Append(c.writeBuffer[:0], c.stampLocked(f, now)); err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	if err = c.ws.SetWriteDeadline(now.Add(writeTimeout)); err == nil {
		err = c.ws.WriteMessage(c.messageType, c.writeBuffer)
	}
	if err == nil {
		err = c.probeLocked(now)
	}
	if err != nil {
		c.Drop()
	}
	return err
}

// stampLocked returns the frame with the time at which it is sent, if the node
// wants to know that. The frame itself stays as it is: other connections may
// send it again.
func (c *Conn) stampLocked(f proto.Message, now time.Time) proto.Message {
	frame, ok := f.(*wire.ClientFrame)
	if !ok || !c.wantsSentTime.Load() || frame.Id == "" && frame.GetPositionAck() == nil {
		return f
	}
	c.stamped.Id, c.stamped.Body, c.stamped.SentMs = frame.Id, frame.Body, wire.ToMillis(now)
	return &c.stamped
}

// probeLocked pings a node that has been silent for a third of the time after
// which it counts as lost. A node pings only phones that it does not hear, and
// may have nothing to say to a driver who sends positions and gets no offer.
func (c *Conn) probeLocked(now time.Time) error {
	patience := c.silence / 3
	if patience <= 0 || now.Sub(c.probedAt) < patience || now.UnixNano()-c.heardAt.Load() < int64(patience) {
		return nil
	}
	c.probedAt = now
	return c.ws.WriteControl(websocket.PingMessage, nil, now.Add(writeTimeout))
}

// AckPosition tells the node that a position was shown, so that it sends more.
// It sends an ack for every second position, which is as often as the node
// needs them. Only the reader goroutine may call it.
func (c *Conn) AckPosition(p *wire.Position) error {
	if p.N < c.ackedPosition+2 {
		return nil
	}
	c.ackedPosition = p.N
	return c.Send(NewFrame(&wire.PositionAck{N: p.N}))
}

// Close sends a normal close frame, which takes at most 200 ms, and closes the
// socket.
func (c *Conn) Close() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(goodbyeTimeout))
	c.Drop()
}

// Drop closes the socket without a close frame, as a lost network does.
func (c *Conn) Drop() { _ = c.ws.Close() }

// CloseCode returns the code with which the node closed a connection, one of
// wire's Close constants, or 0 when the connection ended in another way.
func CloseCode(err error) int {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return closed.Code
	}
	return 0
}
