package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// session is a phone that is connected. Its reader goroutine takes what comes
// from the phone; a second goroutine carries its commands out while there are
// some. Any goroutine may deliver to it.
type session struct {
	// Fixed before the session is registered.
	g     *Gateway
	user  trips.Actor
	pass  auth.Pass // the token
	until time.Time // when the token ends

	// Until then a command of a phone that came back may still be under way on
	// the node that it left: Unix nanoseconds, 0 for a first connection.
	elsewhereUntil int64

	// The sampled trip that the session's driver is on; nil: none. Changed under
	// mu, read by the reader.
	traced atomic.Pointer[tracedRide]

	conn phoneConn // guards itself
	out  sender    // guards itself

	// The reader goroutine's.
	handle   sharedstate.DriverHandle // zero for a rider
	watchers []*session               // scratch

	mu       sync.Mutex // guards below; taken before out's lock, never after
	held     heldDeliveries
	cursor   tripCursor
	commands commandQueue
	calls    sosCalls
	reading  bool // has begun to read its state, after it joined the news
	left     bool // not registered any more
}

// heldDeliveries keeps what comes for a phone until its welcome is queued. It
// has no lock of its own.
type heldDeliveries struct {
	released bool
	waiting  []func() // in order
}

// holdDelivery keeps f; false if the phone was welcomed, and the caller must
// run f.
func (h *heldDeliveries) holdDelivery(f func()) bool {
	if !h.released {
		h.waiting = append(h.waiting, f)
	}
	return !h.released
}

// takeHeld removes what is held, for the caller to run in order. Once there is
// nothing, nothing is held any more.
func (h *heldDeliveries) takeHeld() []func() {
	held := h.waiting
	h.waiting, h.released = nil, len(held) == 0
	return held
}

// sendAck answers a command. hop is what will be recorded of it, or nil.
func (s *session) sendAck(a *wire.Ack, hop *frameHop) {
	s.out.writeNow(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: a}}, hop)
}

// sendRefusal acks a frame that is not carried out. An id that is too long is
// cut.
func (s *session) sendRefusal(id string, err error) { s.sendAck(newRefusal(id, err), nil) }

func newRefusal(id string, err error) *wire.Ack {
	code, text := translate.ExplainError(err)
	return &wire.Ack{Id: clipText(id, translate.MaxID), Code: string(code), Message: text}
}

// retire ends the session of a draining node once the commands under way are
// answered. The phone sends again, to another node, what it had no answer to.
func (s *session) retire() {
	s.mu.Lock()
	s.commands.close()
	s.mu.Unlock()
	s.retireIfFinished()
}

func (s *session) retireIfFinished() {
	s.mu.Lock()
	finished := s.commands.isFinished()
	s.mu.Unlock()
	if finished {
		s.out.retire()
	}
}
