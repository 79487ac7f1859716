package gateway

import (
	"encoding/json"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// TopicTyping is the topic of typing marks. They are in no outbox; the other topics are those of trips.Topic.
const TopicTyping = "typing"

// DeliverTripEvent hands a published trip event to the sessions it concerns.
// The shared state must have followed it. It does not wait for a phone.
func (g *Gateway) DeliverTripEvent(ev trips.Event) {
	for _, s := range g.concerned(ev.Trip) {
		s.news(func() { s.happened(ev, published) })
	}
}

// Deliver decodes a message published on any other topic and hands it to the
// sessions it concerns. Only one goroutine at a time may call it.
func (g *Gateway) Deliver(topic string, payload []byte) {
	if err := g.deliver(topic, payload); err != nil {
		g.DropUnreadable(topic, err)
	}
}

// DropUnreadable counts and logs a published message that cannot be decoded.
func (g *Gateway) DropUnreadable(topic string, err error) {
	g.m.drops.WithLabelValues("bad_notice").Inc()
	g.cfg.Log.Warn("a published message cannot be read", "topic", topic, "err", err)
}

func (g *Gateway) deliver(topic string, payload []byte) error {
	switch topic {
	case string(trips.TopicChat):
		var m chat.Message
		if err := json.Unmarshal(payload, &m); err != nil {
			return err
		}
		for _, s := range g.rooms.tell(m.Trip, m.Seq) {
			s.news(func() { s.said(m, published) })
		}
	case string(trips.TopicReceipt):
		var c payments.Charge
		if err := json.Unmarshal(payload, &c); err != nil {
			return err
		}
		for _, s := range g.sessions.Of(trips.Rider(c.Rider), nil) {
			s.news(func() { s.paid(c, outcomeSent) })
		}
	case string(sos.Topic):
		var a sos.Alert
		if err := json.Unmarshal(payload, &a); err != nil {
			return err
		}
		g.helped(a)
	case TopicRevoked:
		return g.heardOfRevocation(payload)
	case TopicTyping:
		var t typingMark
		if err := json.Unmarshal(payload, &t); err != nil {
			return err
		}
		for _, s := range g.rooms.in(t.Trip) {
			if s.user.Role != t.From {
				s.news(func() {
					s.send(&wire.ServerFrame{Body: &wire.ServerFrame_Typing{Typing: &wire.Typing{TripId: string(t.Trip)}}})
				})
			}
		}
	}
	return nil
}

func (g *Gateway) concerned(t trips.Trip) []*session {
	out := g.sessions.Of(trips.Rider(t.Rider), nil)
	if t.Driver != "" {
		out = g.sessions.Of(trips.Driver(t.Driver), out)
	}
	return out
}

// talk is the trip a session follows, and how far it got. A session follows one trip at a time, the newest.
type talk struct {
	trip   trips.TripID
	last   trips.TripID // the one before, of which late news may still come
	region location.Region
	since  time.Time   // when the trip became this user's
	known  uint32      // the newest event heard of; it may not be its turn yet
	state  trips.State // after that event
	seq    uint32      // last event sent
	chat   uint32      // last chat message sent
	here   struct {    // the last ones that came from a commit on this node; Redis repeats them
		seq, chat uint32
	}
	paid   bool // the receipt was sent
	behind bool // something was missed
}

// since says when a trip became this user's. A driver may well get one that was requested before their last one.
func (s *session) since(t trips.Trip) time.Time {
	if s.user.Role == trips.RoleDriver {
		return t.ReservedAt
	}
	return t.RequestedAt
}

// before is the number of the last event of any trip that does not concern this user: drivers come in with the second.
func (s *session) before() uint32 {
	if s.user.Role == trips.RoleDriver {
		return 1
	}
	return 0
}

// happened sends a trip event in its turn: not twice, and not before those that were missed. It is queued under the
// lock, so that whoever handles the next one queues behind.
func (s *session) happened(ev trips.Event, from origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.placeLocked(ev.Trip) {
	case earlier:
		return
	case unclear:
		s.count(classTripEvent, outcomeEarly)
		s.behindLocked()
		return
	case next:
		s.followLocked(ev.Trip, s.before(), 0)
	}
	s.learnLocked(ev.Trip)
	switch seq := ev.Seq(); {
	case seq <= s.talk.seq:
		s.count(classTripEvent, from.again(seq <= s.talk.here.seq))
		return
	case seq > s.talk.seq+1:
		s.count(classTripEvent, outcomeEarly)
		s.behindLocked()
		return
	}
	s.talk.seq = ev.Seq()
	if from == here {
		s.talk.here.seq = ev.Seq()
	}
	s.pushLocked(&wire.ServerFrame{Body: &wire.ServerFrame_TripEvent{TripEvent: &wire.TripEvent{
		TripId: string(ev.Trip.ID), Seq: ev.Seq(), Kind: string(ev.Kind), AtMs: wire.Millis(ev.At), Trip: wireTrip(ev.Trip)}}}, from.sent())
	s.g.spawn(s.flush)
}

func (s *session) behindLocked() {
	s.talk.behind = true
	s.g.someBehind()
}

// followLocked makes t the session's trip.
func (s *session) followLocked(t trips.Trip, seq, chatSeq uint32) {
	old, last := s.talk.trip, s.talk.last
	if old != t.ID {
		last = old
	}
	s.talk = talk{trip: t.ID, last: last, region: t.Region, since: s.since(t), seq: seq, chat: chatSeq, behind: s.talk.behind}
	s.learnLocked(t)
	if !s.left {
		s.g.rooms.move(s, old, t.ID)
	}
}

// learnLocked takes note of how the session's trip stands. The rider sees the car from the reservation to the end of
// the ride, and nobody else does; what counts is the newest that is known, not what the phone has caught up with.
func (s *session) learnLocked(t trips.Trip) {
	if t.Version < s.talk.known {
		return
	}
	s.talk.known, s.talk.state = t.Version, t.State
	driver := t.Driver
	if !t.State.Active() {
		driver = ""
	}
	if s.user.Role != trips.RoleRider || driver == s.car.driver {
		return
	}
	if s.car.fresh {
		s.count(classPosition, outcomeOverwritten)
	}
	s.car.follow(driver)
	if driver == "" {
		s.g.sessions.Unwatch(s)
	} else if !s.left && s.g.sessions.Watch(s, driver) {
		if d, ok := s.g.cfg.Drivers.Get(driver); ok && d.Located() {
			s.car.take(d.Fix, d.ReceivedAt)
		}
	}
}

// said sends a chat message in its turn.
func (s *session) said(m chat.Message, from origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m.Trip != s.talk.trip:
		return
	case m.Seq <= s.talk.chat:
		s.count(classChat, from.again(m.Seq <= s.talk.here.chat))
		return
	case m.Seq > s.talk.chat+1:
		s.count(classChat, outcomeEarly)
		s.behindLocked()
		return
	}
	s.talk.chat = m.Seq
	if from == here {
		s.talk.here.chat = m.Seq
	}
	s.pushLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: wireChat(m)}}, from.sent())
	s.g.spawn(s.flush)
}

// paid sends the receipt of a trip.
func (s *session) paid(c payments.Charge, how outcome) {
	s.mu.Lock()
	if c.Trip == s.talk.trip {
		if s.talk.paid {
			s.count(classReceipt, outcomeDuplicate)
			s.mu.Unlock()
			return
		}
		s.talk.paid = true
	}
	s.mu.Unlock()
	if s.push(&wire.ServerFrame{Body: &wire.ServerFrame_Receipt{Receipt: wireReceipt(c)}}, how) {
		s.g.spawn(s.flush)
	}
}
