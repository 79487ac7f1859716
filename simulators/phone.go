// Package simulators drives cars and orders rides like people with phones do.
// It knows a city's roads and a node's public doors, nothing else: what it sees
// is what any client would see, so it also watches that the node keeps its
// promises about order.
package simulators

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// phone is one session and what watches it. The session's goroutine feeds the
// witness, the journal and the statistics; the owner, another goroutine, takes
// what is for it from frames, and sends. frames closes when the session has
// ended; err then says why.
type phone struct {
	// Fixed when the phone is switched on.
	net      *network
	role, id string
	stripe   int        // of the histograms
	prefix   string     // of command ids
	drops    *rand.Rand // nil unless flaky
	session  *client.Session
	ctx      context.Context // of the session
	cancel   context.CancelFunc

	witness *witness // the session's goroutine's
	made    int      // commands; the owner's
	saying  atomic.Int32

	frames chan *wire.ServerFrame
	err    error
}

// phone switches a phone on. The caller must call stop, which waits for it.
func (n *network) phone(ctx context.Context, role, id string, stripe int) *phone {
	ctx, cancel := context.WithCancel(ctx)
	p := &phone{net: n, role: role, id: id, stripe: stripe, prefix: uuid.NewString(), ctx: ctx, cancel: cancel,
		frames: make(chan *wire.ServerFrame, 16), witness: newWitness(n.stats, role, id)}
	p.witness.note = p.journal
	if n.dropEvery > 0 {
		p.drops = stream(n.seed, id, "drops")
	}

	p.session = n.client.NewSession(client.SessionConfig{Token: n.client.DevTokens(role, id), Log: n.log.With("who", id),
		OnConnect: p.hello, OnWelcome: p.welcome, OnFrame: p.hear, OnDisconnect: p.disconnected})
	go func() {
		defer close(p.frames)
		if err := p.session.Run(ctx); err != nil {
			p.err = fmt.Errorf("%s %s: %w", role, id, err)
		}
	}()

	return p
}

// stop switches the phone off and waits for its session.
func (p *phone) stop() {
	p.cancel()
	for range p.frames { // closes when the session has ended
	}
	p.journal(journal.Record{What: journal.Off})
}

func (p *phone) welcome(w *wire.Welcome, resumed bool) {
	p.net.stats.connected(p.role).Add(1)
	if resumed {
		p.net.stats.reconnects.Add(1)
	}
	if resumed && w.Recovered {
		p.net.stats.resumed.Add(1)
	}

	p.welcomed(w)
	p.witness.welcome(w)
	if len(p.net.servers) > 1 {
		p.witness.elsewhere()
	}
	p.hand(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: w}})
	p.send(client.Frame(&wire.Ping{T1Ms: wire.ToMillis(time.Now())}))
}

func (p *phone) disconnected(err error, welcomed bool) {
	if wrong := new(client.ProtocolError); errors.As(err, &wrong) {
		p.net.stats.violate("%s %s: %v", p.role, p.id, wrong)
	}
	if welcomed {
		p.net.stats.connected(p.role).Add(-1)
		p.journal(journal.Record{What: journal.Lost, Count: p.witness.n})
	}
}

// hand gives a frame to the owner, unless the phone is switched off.
func (p *phone) hand(f *wire.ServerFrame) {
	select {
	case p.frames <- f:
	case <-p.ctx.Done():
	}
}

// hear watches a frame, and hands it on when the owner wants it too.
func (p *phone) hear(f *wire.ServerFrame, at time.Time) {
	p.saw(f)

	switch b := f.Body.(type) {
	case *wire.ServerFrame_Position:
		if p.witness.position(b.Position) {
			p.net.stats.latency(p.stripe, at, wire.ToMillis(at)-b.Position.AtMs)
		}
		return
	case *wire.ServerFrame_Pong:
		p.net.stats.compareClocks(client.ClockOffset(b.Pong, at))
		return
	case *wire.ServerFrame_Cars:
		return
	case *wire.ServerFrame_Ack:
		if b.Ack.Id == "" { // a complaint about a frame that is no command
			p.net.stats.refused.Add(1)
			p.net.log.Warn("the node does not like a frame of ours", "who", p.id, "code", b.Ack.Code, "message", b.Ack.Message)
		}
		return // the answer to a command comes to answered
	case *wire.ServerFrame_SosSeen:
		if p.witness.helped(b.SosSeen) {
			p.net.stats.seen.Add(1)
		}
	case *wire.ServerFrame_TripEvent:
		p.witness.event(b.TripEvent)
	case *wire.ServerFrame_Chat:
		if p.witness.chat(b.Chat, int(p.saying.Load())) {
			p.net.stats.chatDelivered.Add(1)
		}
	}

	p.hand(&wire.ServerFrame{Body: f.Body})
}

// send writes a frame if the phone is connected; it may be lost.
func (p *phone) send(f *wire.ClientFrame) bool { return p.session.Send(f) == nil }

// command sends a frame under a new id, which it returns, until it is answered.
// The answer comes from frames.
func (p *phone) command(f *wire.ClientFrame) string {
	p.made++
	f.Id = fmt.Sprintf("%s-%d", p.prefix, p.made)
	if f.GetSendChat() != nil {
		p.saying.Add(1)
	}
	p.invoke(f)
	return p.session.Start(f, func(a *wire.Ack, err error) { p.done(f, a, err) })
}

// done takes what came of a command. When the node never answered, the owner
// hears that it was unavailable.
func (p *phone) done(f *wire.ClientFrame, a *wire.Ack, err error) {
	if f.GetSendChat() != nil {
		p.saying.Add(-1)
	}

	if err != nil {
		p.unanswered(f)
	} else {
		p.answered(f, a)
	}

	switch {
	case errors.Is(err, client.ErrNoAnswer):
		a = &wire.Ack{Id: f.Id, Code: string(wire.CodeUnavailable), Message: "The node never answered."}
	case err != nil:
		return
	default:
		p.judge(f, a)
	}

	p.hand(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: a}})
}

// judge tells the witness and the statistics of an answer.
func (p *phone) judge(f *wire.ClientFrame, a *wire.Ack) {
	if a.Trip != nil {
		p.witness.read(a.Trip)
	}

	if say := f.GetSendChat(); say != nil && a.Code == "" {
		p.witness.said(say.TripId, a.ChatSeq)
		p.net.stats.chatSent.Add(1)
	}
	if f.GetSos() != nil && a.Code == "" {
		p.net.stats.called.Add(1)
	}
}

// busy says whether a command waits for its answer.
func (p *phone) busy() bool { return p.session.Unanswered() > 0 }

// drop loses the connection without a word, as in a tunnel.
func (p *phone) drop() { p.session.Drop() }
