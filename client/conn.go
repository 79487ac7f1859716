package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/wire"
)

// ProtocolError says that the node sent what the protocol does not allow.
type ProtocolError struct{ What string }

func (e *ProtocolError) Error() string { return e.What }

// Conn is one socket. One goroutine reads; any number may call Send, Drop and
// Close at the same time.
type Conn struct {
	// Fixed when the connection is opened.
	ws               *websocket.Conn
	codec            wire.Codec
	messageType      int // of WebSocket messages
	name             string
	timeout, silence time.Duration

	// The reader's.
	readBuffer      bytes.Buffer
	hasReadDeadline bool // a read deadline is set
	ackedPosition   uint32

	writing     sync.Mutex // guards below, and that one frame is written at a time
	writeBuffer []byte
}

// Dial opens a socket at a node. Errors: *StatusError when the node answers
// that it takes none, or what went wrong on the way.
func (c *Client) Dial(ctx context.Context, server string) (*Conn, error) {
	return c.DialURL(ctx, "ws"+strings.TrimPrefix(server, "http")+"/v1/ws")
}

// DialURL is Dial for a socket at any address, ws://HOST:PORT/PATH.
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

	ws.SetPingHandler(conn.answerPing)
	return conn, nil
}

// answerPing runs on the reader. A ping is a sign of life, as a frame is.
func (c *Conn) answerPing(text string) error {
	if c.hasReadDeadline {
		if err := c.ws.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return err
		}
	}

	err := c.ws.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(writeTimeout))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// SayHello says who we are and waits for the welcome. resume is nil on a first
// connection. Errors: *ProtocolError when another frame comes first; CloseCode
// tells why the node closed instead.
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
	return w, nil
}

// ReadFrame reads the next frame into f, which may be used again for the frame after
// it; the messages inside f are new each time and may be kept. It returns when
// the whole message had come, before it was decoded. Errors: *ProtocolError
// when the frame cannot be decoded; CloseCode tells why the node closed.
func (c *Conn) ReadFrame(f proto.Message) (at time.Time, err error) {
	return c.ReadFrameWithin(c.silence, f)
}

// ReadFrameWithin is ReadFrame with a limit of its own; 0 or less means none.
func (c *Conn) ReadFrameWithin(limit time.Duration, f proto.Message) (at time.Time, err error) {
	if err := c.setReadLimit(limit); err != nil {
		return at, err
	}
	_, r, err := c.ws.NextReader()
	if err != nil {
		return at, err
	}

	c.readBuffer.Reset()
	if _, err := c.readBuffer.ReadFrom(r); err != nil {
		return at, err
	}
	at = time.Now()
	if err := c.codec.Decode(c.readBuffer.Bytes(), f); err != nil {
		return at, &ProtocolError{fmt.Sprintf("a frame cannot be read: %v", err)}
	}

	return at, nil
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

// Send writes a frame. It blocks for up to 5 s when the node does not read. A
// connection that does not take the frame is closed, so that the reader
// notices.
func (c *Conn) Send(f proto.Message) (err error) {
	c.writing.Lock()
	defer c.writing.Unlock()

	if c.writeBuffer, err = c.codec.Append(c.writeBuffer[:0], f); err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	if err = c.ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
		err = c.ws.WriteMessage(c.messageType, c.writeBuffer)
	}
	if err != nil {
		c.Drop()
	}
	return err
}

// AckPosition gives credit back for a position that was shown. It sends an ack
// for every second one, which is as often as the node needs them. The reader
// calls it.
func (c *Conn) AckPosition(p *wire.Position) error {
	if p.N < c.ackedPosition+2 {
		return nil
	}
	c.ackedPosition = p.N
	return c.Send(NewFrame(&wire.PositionAck{N: p.N}))
}

// Close says goodbye and closes the socket.
func (c *Conn) Close() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(goodbyeTimeout))
	c.Drop()
}

// Drop closes the socket without a word, as a tunnel does.
func (c *Conn) Drop() { _ = c.ws.Close() }

// CloseCode returns the code with which the node closed a connection, or 0 when
// the connection was lost in another way.
func CloseCode(err error) int {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return closed.Code
	}
	return 0
}
