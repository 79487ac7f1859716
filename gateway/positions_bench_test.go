package gateway

import (
	"io"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// BenchmarkFix measures what a driver's fix costs the node: of a car that no
// rider sees; of a ride whose rider reads slowly, so that it replaces the one
// before; and of one that is written to the rider's socket and acked.
func BenchmarkFix(b *testing.B) {
	b.Run("unseen", func(b *testing.B) {
		c := newTestNode(b, nil)
		c.connectPhone(trips.Driver("d"), asProto, nil)
		c.benchmarkFixes(b, nil)
	})
	b.Run("replacing", func(b *testing.B) {
		r := newReservedRide(b, newTestNode(b, nil), asProto, asProto)
		r.benchmarkFixes(b, nil)
	})
	b.Run("written", func(b *testing.B) {
		r := newReservedRide(b, newTestNode(b, nil), asProto, asProto)
		r.benchmarkFixes(b, r.riderWithoutMemory())
	})
}

// riderWithoutMemory puts a phone that forgets what it reads in place of the
// rider's.
func (r reservedRide) riderWithoutMemory() *session {
	r.rider.cutConnection()
	p := r.connectSilent(asProto, trips.Rider("r"))
	done := make(chan struct{})
	p.sendHello(nil)
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, p.conn.NetConn())
	}()
	r.t.Cleanup(func() {
		p.conn.Close()
		<-done
	})

	var s *session
	r.awaitCondition("the first position is written", func() bool {
		for _, s = range r.g.sessions.OfUser(trips.Rider("r"), nil) {
			s.out.mu.Lock()
			sent := s.out.position.sent
			s.out.mu.Unlock()
			return sent > 0
		}
		return false
	})
	return s
}

// benchmarkFixes lets a driver who stands still send a fix every 10 ms. rider
// acks each; nil: none does.
func (c *testNode) benchmarkFixes(b *testing.B, rider *session) {
	s := c.g.sessions.OfUser(trips.Driver("d"), nil)[0]
	f := fixFrame(market, 1000, c.now()).GetFix()
	frame := &wire.ClientFrame{Body: &wire.ClientFrame_Fix{Fix: f}}
	ack := &wire.ClientFrame{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{}}}

	b.ReportAllocs()
	for b.Loop() {
		c.pass(10 * time.Millisecond)
		f.AtMs += 10
		f.Seq++
		s.handleFrame(frame, c.now())
		if rider != nil {
			ack.GetPositionAck().N = rider.out.position.sent
			rider.handleFrame(ack, c.now())
		}
	}
}
