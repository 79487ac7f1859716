package simulators

import (
	"fmt"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/wire"
)

// read returns the next frame.
func (p *phone) read(conn *websocket.Conn, within time.Duration) (*wire.ServerFrame, error) {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	_, r, err := conn.NextReader()
	if err != nil {
		return nil, err
	}
	p.buf.Reset()
	if _, err := p.buf.ReadFrom(r); err != nil {
		return nil, err
	}
	f := new(wire.ServerFrame)
	if err := p.net.codec.Decode(p.buf.Bytes(), f); err != nil {
		p.net.stats.violate("%s %s: a frame cannot be read: %v", p.role, p.id, err)
		return nil, err
	}
	return f, nil
}

// hear does what every phone does with a frame, and says whether its owner wants it too.
func (p *phone) hear(f *wire.ServerFrame, at time.Time) bool {
	p.saw(f)
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Position:
		n, update := p.witness.position(b.Position)
		if update {
			p.net.stats.latency(p.stripe, at, wire.Millis(at)-b.Position.AtMs)
		}
		if n > 0 {
			p.send(&wire.ClientFrame{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{N: n}}})
		}
		return false
	case *wire.ServerFrame_Pong:
		p.net.stats.compareClocks(b.Pong, wire.Millis(at))
		return false
	case *wire.ServerFrame_Cars:
		return false
	case *wire.ServerFrame_Ack:
		return p.acked(b.Ack, at)
	case *wire.ServerFrame_SosSeen:
		if p.witness.helped(b.SosSeen) {
			p.net.stats.seen.Add(1)
		}
	case *wire.ServerFrame_TripEvent:
		p.witness.event(b.TripEvent)
	case *wire.ServerFrame_Chat:
		if p.witness.chat(b.Chat, p.speaking()) {
			p.net.stats.chatDelivered.Add(1)
		}
	}
	return true
}

// send writes a frame if the phone is connected; it may be lost.
func (p *phone) send(f *wire.ClientFrame) bool {
	p.mu.Lock()
	conn, ready := p.conn, p.ready
	p.mu.Unlock()
	return ready && p.write(conn, f) == nil
}

// write writes a frame. A connection that does not take it is closed, for the reader to notice.
func (p *phone) write(conn *websocket.Conn, f *wire.ClientFrame) (err error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.out, err = p.net.codec.Append(p.out[:0], f); err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	kind := websocket.BinaryMessage
	if p.net.codec.Text() {
		kind = websocket.TextMessage
	}
	if err = conn.SetWriteDeadline(time.Now().Add(writeWithin)); err == nil {
		err = conn.WriteMessage(kind, p.out)
	}
	if err != nil {
		_ = conn.Close()
	}
	return err
}
