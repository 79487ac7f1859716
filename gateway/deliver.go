package gateway

import (
	"encoding/json"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// TopicTyping is the topic of typing marks. They are in no outbox; the other
// topics are those of trips.Topic.
const TopicTyping = "typing"

// DeliverTripEvent hands a published trip event to the sessions it concerns.
// The shared state must have followed it. It does not wait for a phone.
func (g *Gateway) DeliverTripEvent(ev trips.Event) { g.deliverTripEvent(ev, published) }

// DeliverTripEventTo is DeliverTripEvent for one of the users that the event
// concerns. It does nothing for any other user.
func (g *Gateway) DeliverTripEventTo(user trips.Actor, ev trips.Event) {
	if !ev.Trip.Concerns(user) {
		return
	}
	for _, s := range g.sessions.OfUser(user, nil) {
		s.afterWelcome(func() { s.deliverTripEvent(ev, published) })
	}
}

// DeliverCommitted hands a move that this node has just committed to the
// sessions here that it concerns, so that they hear of it at once, and also
// while Redis is away. The event comes through Redis as well; the sessions know
// its number by then and drop the second copy. It does not wait for a phone and
// may be called from many goroutines: an event that comes out of turn makes the
// session read the store, as any gap does.
func (g *Gateway) DeliverCommitted(ev trips.Event) { g.deliverTripEvent(ev, here) }

func (g *Gateway) deliverTripEvent(ev trips.Event, from origin) {
	to := g.sessions.OfUser(trips.Rider(ev.Trip.Rider), nil)
	if ev.Trip.Driver != "" {
		to = g.sessions.OfUser(trips.Driver(ev.Trip.Driver), to)
	}
	for _, s := range to {
		s.afterWelcome(func() { s.deliverTripEvent(ev, from) })
	}
}

// deliverChat hands a message to the sessions that follow its trip; those of
// one user, unless that is zero.
func (g *Gateway) deliverChat(user trips.Actor, m chat.Message, from origin) {
	for _, s := range g.chatSubscribers.recordMessage(m.Trip, m.Seq) {
		if isMeant(user, s.user) {
			s.afterWelcome(func() { s.deliverChat(m, from) })
		}
	}
}

// DeliverMessage decodes a message published on any other topic and hands it to
// the sessions it concerns. Only one goroutine at a time may call it.
func (g *Gateway) DeliverMessage(topic string, payload []byte) {
	g.DeliverMessageTo(trips.Actor{}, topic, payload)
}

// DeliverMessageTo is DeliverMessage for the sessions of one user. It delivers
// nothing that does not concern the user.
func (g *Gateway) DeliverMessageTo(user trips.Actor, topic string, payload []byte) {
	if err := g.decodeMessage(user, topic, payload); err != nil {
		g.DropUnreadable(topic, err)
	}
}

// DropUnreadable counts and logs a published message that cannot be decoded. It
// does not block.
func (g *Gateway) DropUnreadable(topic string, err error) {
	g.metrics.drops.WithLabelValues("bad_notice").Inc()
	g.cfg.Log.Warn("a published message cannot be read", "topic", topic, "err", err)
}

// decodeMessage hands a message to the sessions of a user, or to those of all
// if that is zero.
func (g *Gateway) decodeMessage(user trips.Actor, topic string, payload []byte) error {
	switch topic {
	case string(trips.TopicChat):
		return decodeAndDeliver(payload, func(m chat.Message) { g.deliverChat(user, m, published) })
	case string(trips.TopicReceipt):
		return decodeAndDeliver(payload, func(c payments.Charge) {
			if isMeant(user, trips.Rider(c.Rider)) {
				g.deliverReceipt(c)
			}
		})
	case string(sos.TopicAlert):
		return decodeAndDeliver(payload, func(a sos.Alert) {
			if isMeant(user, a.From) {
				g.deliverSOSAck(a)
			}
		})
	case TopicTyping:
		return decodeAndDeliver(payload, func(t typingMark) { g.deliverTyping(user, t) })
	}
	return nil
}

// isMeant returns true if a message to one user, or to all if that is zero, is
// for this user too.
func isMeant(to, user trips.Actor) bool { return to == (trips.Actor{}) || to == user }

// decodeAndDeliver decodes a payload and hands it on, or returns why it cannot
// be decoded.
func decodeAndDeliver[T any](payload []byte, deliver func(T)) error {
	var v T
	if err := json.Unmarshal(payload, &v); err != nil {
		return err
	}
	deliver(v)
	return nil
}

func (g *Gateway) deliverReceipt(c payments.Charge) {
	for _, s := range g.sessions.OfUser(trips.Rider(c.Rider), nil) {
		s.afterWelcome(func() { s.deliverReceipt(c, outcomeSent) })
	}
}

func (g *Gateway) deliverTyping(user trips.Actor, t typingMark) {
	for _, s := range g.chatSubscribers.subscribersOf(t.Trip) {
		if s.user.Role == t.From || !isMeant(user, s.user) {
			continue
		}
		s.afterWelcome(func() {
			s.out.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Typing{Typing: &wire.Typing{TripId: string(t.Trip)}}})
		})
	}
}

// deliverTripEvent sends a trip event in its turn: not twice, and not before
// those that were missed. It is queued under the lock, so that the goroutine
// that delivers the next one queues behind it.
func (s *session) deliverTripEvent(ev trips.Event, from origin) {
	hop := s.hops().newEventHop(ev, from)
	s.mu.Lock()
	defer s.mu.Unlock()

	switch s.cursor.compareTrip(s.user.Role, ev.Trip) {
	case earlier:
		return
	case unclear:
		s.dropLocked(classTripEvent, outcomeEarly, hop)
		return
	case next:
		s.followTripLocked(ev.Trip, lastForeignEvent(s.user.Role), 0)
	}

	s.learnTripLocked(ev.Trip)

	how := s.cursor.takeEvent(ev.Seq(), from)
	if how != from.sentOutcome() {
		s.dropLocked(classTripEvent, how, hop)
		return
	}

	s.out.sendFrameAs(&wire.ServerFrame{Body: &wire.ServerFrame_TripEvent{TripEvent: &wire.TripEvent{
		TripId: string(ev.Trip.ID), Seq: ev.Seq(), Kind: string(ev.Kind), AtMs: wire.ToMillis(ev.At), Trip: translate.EncodeTrip(ev.Trip)}}}, how, hop)
}

// deliverChat sends a chat message in its turn.
func (s *session) deliverChat(m chat.Message, from origin) {
	hop := s.hops().newChatHop(m, from)
	s.mu.Lock()
	defer s.mu.Unlock()

	if m.Trip != s.cursor.trip {
		return
	}

	how := s.cursor.takeChat(m.Seq, from)
	if how != from.sentOutcome() {
		s.dropLocked(classChat, how, hop)
		return
	}

	s.out.sendFrameAs(&wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: translate.EncodeChat(m)}}, how, hop)
}

// dropLocked counts and records a message that is not sent. One that came early
// means that something was missed.
func (s *session) dropLocked(c class, how outcome, hop *frameHop) {
	s.g.metrics.delivery.countMessage(c, how)
	s.g.recordFrame(hop, how)
	if how == outcomeEarly {
		s.cursor.markGap()
		s.g.wakeCatchUp()
	}
}

// deliverReceipt sends the receipt of a trip.
func (s *session) deliverReceipt(c payments.Charge, how outcome) {
	s.mu.Lock()
	first := s.cursor.takeReceipt(c.Trip)
	s.mu.Unlock()

	if !first {
		s.g.metrics.delivery.countMessage(classReceipt, outcomeDuplicate)
		return
	}
	s.out.sendFrameAs(&wire.ServerFrame{Body: &wire.ServerFrame_Receipt{Receipt: translate.EncodeReceipt(c)}}, how, s.hops().newReceiptHop(c, how))
}

// followTripLocked makes t the session's trip. The phone has its events up to
// seq and its messages up to chatSeq.
func (s *session) followTripLocked(t trips.Trip, seq, chatSeq uint32) {
	old := s.cursor.trip
	s.cursor.followTrip(s.user.Role, t, seq, chatSeq)
	s.learnTripLocked(t)
	if !s.left {
		s.g.chatSubscribers.moveSession(s, old, t.ID)
	}
}

// learnTripLocked records the state of the session's trip. A rider sees the car
// from the reservation to the end of the ride, by the newest event known, not
// the newest that the phone has.
func (s *session) learnTripLocked(t trips.Trip) {
	if !s.cursor.learnState(s.user.Role, t) {
		return
	}
	if s.user.Role == trips.RoleDriver {
		s.traceRideLocked(t)
		return
	}

	driver := t.Driver
	if !t.State.IsActive() {
		driver = ""
	}

	s.out.followCar(t.ID, driver, func(id trips.DriverID) (d sharedstate.Driver, ok bool) {
		if id == "" {
			s.g.onWatchChanged(s.g.sessions.Unwatch(s))
			return d, false
		}
		if s.left {
			return d, false
		}
		before, ok := s.g.sessions.Watch(s, id)
		if !ok {
			return d, false
		}
		s.g.onWatchChanged(before)
		s.g.onWatchChanged(id)
		return s.g.cfg.Drivers.Get(id)
	})
}
