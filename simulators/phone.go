// Package simulators runs drivers, riders and operators against a node, as
// people with phones would. It knows a city's roads and a node's public API,
// and nothing else. Since it sees what any client sees, it also checks that the
// node keeps the protocol's promises about order.
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

// phone is one session and what observes it. The session's goroutine feeds the
// checker, the journal and the statistics. The owner, another goroutine, takes
// the frames that concern its user from frames, and sends. frames is closed
// when the session has ended; then err is the reason, or nil.
type phone struct {
	// Fixed at creation.
	network    *network
	role, id   string
	stripe     int        // of the histograms
	prefix     string     // of command ids
	dropRandom *rand.Rand // nil unless flaky
	session    *client.Session
	ctx        context.Context // the session's
	cancel     context.CancelFunc

	checker       *protocolChecker // the session goroutine's
	commandCount  int              // the owner's
	chatsInFlight atomic.Int32

	frames chan *wire.ServerFrame
	err    error // set before frames is closed
}

// startPhone connects a phone. The caller must call stop.
func (n *network) startPhone(ctx context.Context, role, id string, stripe int) *phone {
	ctx, cancel := context.WithCancel(ctx)
	p := &phone{network: n, role: role, id: id, stripe: stripe, prefix: uuid.NewString(), ctx: ctx, cancel: cancel,
		frames: make(chan *wire.ServerFrame, 16), checker: newProtocolChecker(n.stats, role, id)}
	p.checker.record = p.recordInJournal
	if n.dropEvery > 0 {
		p.dropRandom = newRandomStream(n.seed, id, "drops")
	}

	p.session = n.client.NewSession(client.SessionConfig{Token: n.client.DevTokens(role, id), FirstServer: n.firstServer(id), Log: n.log.With("who", id),
		OnConnect: p.recordHello, OnWelcome: p.handleWelcome, OnFrame: p.handleFrame, OnDisconnect: p.handleDisconnect,
		OnRepeat: n.countRepeat})
	go func() {
		defer close(p.frames)
		if err := p.session.Run(ctx); err != nil {
			p.err = fmt.Errorf("%s %s: %w", role, id, err)
		}
	}()

	return p
}

// countRepeat counts a frame that a session wrote again.
func (n *network) countRepeat(f *wire.ClientFrame) {
	if f.GetFix() != nil {
		n.stats.fixesSent.Add(1)
		return
	}
	n.stats.repeated.Add(1)
}

// stop ends the session and waits for its end.
func (p *phone) stop() {
	p.cancel()
	for range p.frames { // Closed when the session has ended.
	}
	p.recordInJournal(journal.Record{What: journal.Off})
}

func (p *phone) handleWelcome(w *wire.Welcome, resumed bool) {
	p.network.stats.connectedCounter(p.role).Add(1)
	if resumed {
		p.network.stats.reconnects.Add(1)
	}
	if resumed && w.Recovered {
		p.network.stats.resumed.Add(1)
	}

	p.recordWelcome(w)
	p.checker.checkWelcome(w)
	if len(p.network.servers) > 1 {
		p.checker.forgetLastPosition()
	}
	p.deliverToOwner(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: w}})
	p.sendFrame(client.NewFrame(&wire.Ping{T1Ms: wire.ToMillis(time.Now())}))
}

func (p *phone) handleDisconnect(err error, welcomed bool) {
	if wrong := new(client.ProtocolError); errors.As(err, &wrong) {
		p.network.stats.addViolation("%s %s: %v", p.role, p.id, wrong)
	}
	if welcomed {
		p.network.stats.connectedCounter(p.role).Add(-1)
		if p.ctx.Err() == nil {
			p.network.stats.connectionsLost.Add(1)
		}
		p.recordInJournal(journal.Record{What: journal.Lost, Count: p.checker.lastN})
	}
}

// deliverToOwner waits until the owner takes the frame or the phone is stopped.
func (p *phone) deliverToOwner(f *wire.ServerFrame) {
	select {
	case p.frames <- f:
	case <-p.ctx.Done():
	}
}

// handleFrame records and checks a frame, and delivers it if it concerns the
// user.
func (p *phone) handleFrame(f *wire.ServerFrame, at time.Time) {
	p.recordFrame(f)

	switch b := f.Body.(type) {
	case *wire.ServerFrame_Position:
		if p.checker.checkPosition(b.Position) {
			p.network.stats.recordLatency(p.stripe, at, wire.ToMillis(at)-b.Position.AtMs)
		}
		return
	case *wire.ServerFrame_Pong:
		p.network.stats.compareClocks(client.ClockOffset(b.Pong, at))
		return
	case *wire.ServerFrame_Cars:
		return
	case *wire.ServerFrame_FixRefused:
		p.checker.checkFixRefused(b.FixRefused)
		p.network.stats.fixesRefused.Add(int64(b.FixRefused.Count))
		p.network.log.Debug("the node refused fixes", "who", p.id, "count", b.FixRefused.Count, "reason", b.FixRefused.Reason,
			"message", b.FixRefused.Message)
		return
	case *wire.ServerFrame_Ack:
		if b.Ack.Id == "" { // The node refused a frame that is no command.
			p.network.stats.refused.Add(1)
			p.network.log.Warn("the node refused a frame", "who", p.id, "code", b.Ack.Code, "message", b.Ack.Message)
		}
		return // finishCommand delivers the answers to commands.
	case *wire.ServerFrame_SosSeen:
		if p.checker.checkSOSSeen(b.SosSeen) {
			p.network.stats.helpSeen.Add(1)
		}
	case *wire.ServerFrame_TripEvent:
		p.checker.checkEvent(b.TripEvent)
	case *wire.ServerFrame_Chat:
		if p.checker.checkChat(b.Chat, int(p.chatsInFlight.Load())) {
			p.network.stats.chatDelivered.Add(1)
		}
	}

	p.deliverToOwner(&wire.ServerFrame{Body: f.Body})
}

// sendFrame writes a frame once; it may be lost. It returns false when there is
// no connection.
func (p *phone) sendFrame(f *wire.ClientFrame) bool { return p.session.Send(f) == nil }

// sendCommand sends a frame under a new id, which it returns, until it is
// answered. The ack is delivered through frames.
func (p *phone) sendCommand(f *wire.ClientFrame) string {
	p.commandCount++
	f.Id = fmt.Sprintf("%s-%d", p.prefix, p.commandCount)
	if f.GetSendChat() != nil {
		p.chatsInFlight.Add(1)
	}
	p.recordInvoke(f)
	return p.session.StartCommand(f, func(a *wire.Ack, err error) { p.finishCommand(f, a, err) })
}

// finishCommand records the outcome of a command and delivers its ack. A
// command without an answer is delivered as refused with unavailable.
func (p *phone) finishCommand(f *wire.ClientFrame, a *wire.Ack, err error) {
	if f.GetSendChat() != nil {
		p.chatsInFlight.Add(-1)
	}

	if err != nil {
		p.recordUnanswered(f)
	} else {
		p.recordAck(f, a)
	}

	switch {
	case errors.Is(err, client.ErrNoAnswer):
		a = &wire.Ack{Id: f.Id, Code: string(wire.CodeUnavailable), Message: "The node never answered."}
	case err != nil:
		return
	default:
		p.checkAck(f, a)
	}

	p.deliverToOwner(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: a}})
}

// checkAck passes an ack on to the checker and the statistics.
func (p *phone) checkAck(f *wire.ClientFrame, a *wire.Ack) {
	if a.Trip != nil {
		p.checker.noteTripRead(a.Trip)
	}

	if say := f.GetSendChat(); say != nil && a.Code == "" {
		p.checker.noteOwnChat(say.TripId, a.ChatSeq)
		p.network.stats.chatSent.Add(1)
	}
	if f.GetSos() != nil && a.Code == "" {
		p.network.stats.helpAsked.Add(1)
	}
}

// hasUnanswered reports whether a command waits for its answer.
func (p *phone) hasUnanswered() bool { return p.session.UnansweredCommands() > 0 }

// dropConnection closes the connection without a close frame.
func (p *phone) dropConnection() { p.session.Drop() }
