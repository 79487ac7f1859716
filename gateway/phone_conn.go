package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/wire"
)

// phoneConn is a phone's WebSocket and why it ended. One goroutine reads from
// it; one goroutine at a time writes messages to it (see sender). Pings and
// close frames may be written by any goroutine.
type phoneConn struct {
	// Fixed at creation.
	g     *Gateway
	ws    *websocket.Conn
	in    *bufio.Reader // below ws
	codec wire.Codec

	// Any goroutine's.
	//
	// why it ended: a close code or phoneLeft; 0 while open
	code atomic.Int32
	// last sign of life: the node's clock, Unix nanoseconds
	lastHeard atomic.Int64
	// messages read; only the reader writes it
	framesRead atomic.Uint64

	// The reader goroutine's.
	frames    *rate.Limiter
	extended  time.Time // when the read deadline was moved
	inMessage bool      // a message has begun and is not complete
	admitted  bool      // the phone has said hello with a valid token
}

// phoneLeft stands for a close code when the phone ended the connection.
const phoneLeft = -1

func (c *phoneConn) hasEnded() bool { return c.code.Load() != 0 }

// Close cuts the connection at once, without a close frame.
func (c *phoneConn) Close() { c.ws.Close() }

// awaitHello gives the phone some seconds for its first message.
func (c *phoneConn) awaitHello() {
	_ = c.ws.SetReadDeadline(time.Now().Add(c.g.cfg.Limits.HelloWithin))
}

// awaitData waits until something can be read. It does so on a stack so short
// that it can shrink; an error comes again from the next read.
func (c *phoneConn) awaitData() { _, _ = c.in.Peek(1) }

// errTooBig is returned for a message over Limits.Message. The WebSocket
// library has a limit too, and would close the socket without a word.
var errTooBig = errors.New("the message is too big")

// readAll appends the rest of a message to data, which grows to little more
// than Limits.Message. A pong between its parts does not buy the phone more
// time.
func (c *phoneConn) readAll(data []byte, r io.Reader) ([]byte, error) {
	c.inMessage = true
	data, err := readUpTo(c.g.cfg.Limits.Message, data, r)
	c.inMessage = false
	return data, err
}

// readUpTo is readAll with a limit on the length of data.
func readUpTo(limit int64, data []byte, r io.Reader) ([]byte, error) {
	for {
		data = slices.Grow(data, bytes.MinRead)
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return data, errTooBig
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return data, err
		}
	}
}

// readHello reads the first message, which must be a hello.
func (c *phoneConn) readHello() (*wire.Hello, error) {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return nil, err
	}
	data, err := c.readAll(nil, r)
	if err != nil {
		if errors.Is(err, errTooBig) {
			c.closeAfter(err)
		}
		return nil, err
	}

	if (kind == websocket.TextMessage) != c.codec.Text() {
		return nil, errNoHello
	}

	var f wire.ClientFrame
	if err := c.codec.Decode(data, &f); err != nil {
		return nil, err
	}
	if f.GetHello() == nil {
		return nil, errNoHello
	}

	return f.GetHello(), nil
}

var errNoHello = errors.New("the first frame is not a hello")

// admitPhone must be called after a valid hello: from now on the phone may be
// silent for as long as Limits.SilentFor.
func (c *phoneConn) admitPhone() {
	c.admitted = true
	c.recordLife(c.g.cfg.Now())
}

// takesPong returns false for a pong that buys no time: before hello, within a
// message that is not complete, or after the end.
func (c *phoneConn) takesPong() bool { return c.admitted && !c.inMessage && !c.hasEnded() }

// recordLife records a sign of life. It moves the read deadline, but not more
// often than needed.
func (c *phoneConn) recordLife(now time.Time) {
	c.lastHeard.Store(now.UnixNano())
	wall := time.Now()
	if wall.Sub(c.extended) <= c.g.cfg.Limits.SilentFor/extensions {
		return
	}

	// An error here means a dead connection. The next read returns it too.
	c.extended = wall
	_ = c.ws.SetReadDeadline(wall.Add(c.g.cfg.Limits.SilentFor))
	if c.hasEnded() { // closeWith has set a shorter one meanwhile
		_ = c.ws.SetReadDeadline(wall.Add(closeWithin))
	}
}

// writeMessage writes one message. It returns an error when the connection is
// lost or the phone has read nothing for writeWithin.
func (c *phoneConn) writeMessage(data []byte) error {
	kind := websocket.BinaryMessage
	if c.codec.Text() {
		kind = websocket.TextMessage
	}
	_ = c.ws.SetWriteDeadline(time.Now().Add(writeWithin)) // always nil
	return c.ws.WriteMessage(kind, data)
}

// sendPing writes a ping. It fails when the socket's buffer is full or the
// phone is gone; its silence then ends the connection.
func (c *phoneConn) sendPing(text string, within time.Duration) {
	_ = c.ws.WriteControl(websocket.PingMessage, []byte(text), time.Now().Add(within))
}

// endUnwritable ends a connection that cannot be written to: it is lost, or the
// phone does not read. The reader notices and leaves.
func (c *phoneConn) endUnwritable() {
	c.code.CompareAndSwap(0, wire.CloseSlow)
	c.ws.Close()
}

// closeWith closes the socket with a code; the first call counts. It does not
// block: the close frame is written by a goroutine of its own, and the reader
// goes on discarding for a moment, because a connection closed with unread
// bytes is reset and the code is lost.
func (c *phoneConn) closeWith(code int, why string) {
	if !c.code.CompareAndSwap(0, int32(code)) {
		return
	}

	told := c.g.spawn(func() {
		now := time.Now()
		// Either call fails only if the phone is gone.
		_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), now.Add(closeWithin/2))
		_ = c.ws.SetReadDeadline(now.Add(closeWithin))
	})
	if !told {
		c.ws.Close()
	}
}

// closeAfter ends the connection after an error of reading, with the code that
// fits, and counts what the phone did wrong.
func (c *phoneConn) closeAfter(err error) {
	var (
		network net.Error
		closed  *websocket.CloseError
	)
	switch {
	case c.hasEnded(): // by us
	case errors.Is(err, errTooBig):
		c.g.metrics.drops.WithLabelValues("too_big").Inc()
		c.closeWith(wire.CloseTooBig, fmt.Sprintf("a message has at most %d bytes: send less", c.g.cfg.Limits.Message))
	case errors.As(err, &network) && network.Timeout():
		c.g.metrics.drops.WithLabelValues("silent").Inc()
		c.closeWith(wire.CloseSilent, "nothing heard from you: come back and resume")
	case errors.As(err, &closed), errors.As(err, &network), errors.Is(err, net.ErrClosed):
		c.code.CompareAndSwap(0, phoneLeft)
	default:
		c.g.metrics.drops.WithLabelValues("bad_framing").Inc()
		// The library has told the phone more.
		c.closeWith(wire.CloseBadFrame, "broken framing")
	}
}

// linger waits until the phone has taken our close frame and answered it or
// hung up, and discards what it still sends.
func (c *phoneConn) linger() {
	if c.code.Load() == phoneLeft {
		return
	}
	_ = c.ws.SetReadDeadline(time.Now().Add(closeWithin))
	var err error
	for err == nil {
		_, _, err = c.ws.NextReader()
	}
	if closed := new(websocket.CloseError); errors.As(err, &closed) {
		return
	}

	_, _ = io.Copy(io.Discard, c.ws.NetConn())
}
