package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// command is something a phone asks for that is answered with an ack. The body
// is a *wire.ClientFrame_….
type command struct {
	id   string
	body any
}

// handleFrame acts on one frame. The session's reader calls it. Commands that
// need the database are left to the session's worker, so that positions flow
// while the database is slow. The caller uses the frame again; its body may be
// kept.
func (s *session) handleFrame(f *wire.ClientFrame, now time.Time) {
	switch b := f.Body.(type) {
	case *wire.ClientFrame_Fix:
		s.receiveFix(b.Fix, now)
	case *wire.ClientFrame_PositionAck:
		s.out.ackPositions(b.PositionAck.GetN())
	case *wire.ClientFrame_Ping:
		s.out.writeNow(&wire.ServerFrame{Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{
			T1Ms: b.Ping.GetT1Ms(), T2Ms: wire.ToMillis(now), T3Ms: wire.ToMillis(s.g.cfg.Now())}}})
	case *wire.ClientFrame_Typing:
		s.publishTyping(b.Typing)
	case *wire.ClientFrame_WatchArea:
		s.watchArea(b.WatchArea)
	case *wire.ClientFrame_Hello, nil:
		s.sendRefusal(f.Id, translate.Refuse(wire.CodeBadFrame, "Send one body per frame, and hello only once."))
	default:
		s.queueCommand(command{f.Id, b})
	}
}

// queueCommand queues a command behind the session's earlier ones. When too
// many wait, it is refused.
func (s *session) queueCommand(c command) {
	if !translate.IsPlainID(c.id) {
		s.sendRefusal(clipText(c.id, translate.MaxID), translate.Refuse(wire.CodeBadField, "A command needs an id of 1 to 64 bytes without control "+
			"characters, new for each command and the same when you send it again."))
		return
	}

	s.mu.Lock()
	admission := s.commands.addCommand(c, s.g.cfg.Limits.Commands)
	s.mu.Unlock()

	switch admission {
	case commandFull:
		s.g.metrics.drops.WithLabelValues("commands_full").Inc()
		s.sendRefusal(c.id, translate.Refuse(wire.CodeTooMany, "Too many commands wait; send it again in a second."))
	case commandFirst:
		s.g.spawn(s.runCommands)
	}
}

// runCommands carries out the commands that wait, in order, then ends.
func (s *session) runCommands() {
	for {
		s.mu.Lock()
		c, ok := s.commands.nextCommand()
		s.mu.Unlock()
		if !ok {
			s.retireIfFinished()
			return
		}
		s.runCommand(c)
	}
}

// runCommand executes one command and acks it. The command outlives its socket:
// what was begun is finished, and the phone asks again with the same id.
func (s *session) runCommand(c command) {
	defer s.g.userLocks.lockUser(s.user)()
	ctx, cancel := context.WithTimeout(s.g.base, s.g.cfg.Limits.CommandWithin)
	defer cancel()

	ack := &answer{Ack: &wire.Ack{Id: c.id}}
	kind, err := s.executeCommand(ctx, c, ack)
	result := "ok"
	if err != nil {
		code, text := translate.ExplainError(err)
		if translate.IsUnavailable(err) {
			s.g.cfg.Log.Warn("a command failed", "kind", kind, "user", s.user, "err", err)
		}
		ack = &answer{Ack: &wire.Ack{Id: c.id, Code: string(code), Message: text}}
		result = string(code)
	}

	s.g.metrics.commands.WithLabelValues(kind, result).Inc()
	s.sendAck(ack.Ack)
	if ack.done.ID != "" {
		s.catchUpAfterAck(ctx, ack.done)
	}
}

// answer is an ack with the trip it is about, if there is one, as the command
// left it.
type answer struct {
	*wire.Ack
	done trips.Trip
}

// setTrip puts a committed event's trip into the ack. The sessions of this node
// get the event by DeliverCommitted, those of other nodes through Redis.
func (a *answer) setTrip(ev trips.Event) { a.Trip, a.done = translate.EncodeTrip(ev.Trip), ev.Trip }

// executeCommand runs a command and fills in the ack. It returns the command's
// kind, for the counters.
func (s *session) executeCommand(ctx context.Context, c command, ack *answer) (kind string, err error) {
	switch b := c.body.(type) {
	case *wire.ClientFrame_SetAvailable:
		return "set_available", s.setAvailable(b.SetAvailable.GetAvailable())
	case *wire.ClientFrame_AnswerOffer:
		return "answer_offer", s.answerOffer(ctx, c.id, b.AnswerOffer, ack)
	case *wire.ClientFrame_RequestTrip:
		return "request_trip", s.requestTrip(ctx, c.id, b.RequestTrip, ack)
	case *wire.ClientFrame_MoveTrip:
		return "move_trip", s.moveTrip(ctx, c.id, b.MoveTrip, ack)
	case *wire.ClientFrame_CancelTrip:
		return "cancel_trip", s.cancelTrip(ctx, c.id, b.CancelTrip, ack)
	case *wire.ClientFrame_SendChat:
		return "send_chat", s.sendChat(ctx, c.id, b.SendChat, ack)
	case *wire.ClientFrame_Sos:
		return "sos", s.requestHelp(ctx, c.id, b.Sos)
	}

	return "unknown", translate.Refuse(wire.CodeBadFrame, "This is not a command.")
}

// requireRole refuses the other role.
func (s *session) requireRole(role trips.Role) error {
	if s.user.Role == role {
		return nil
	}
	return translate.Refuse(wire.CodeForbidden, "This is for a "+string(role)+"; you are a "+string(s.user.Role)+".")
}

func (s *session) setAvailable(wants bool) error {
	if err := s.requireRole(trips.RoleDriver); err != nil {
		return err
	}
	s.g.cfg.Drivers.SetAvailable(trips.DriverID(s.user.ID), wants)
	return nil
}

func (s *session) answerOffer(ctx context.Context, id string, a *wire.AnswerOffer, ack *answer) error {
	if err := s.requireRole(trips.RoleDriver); err != nil {
		return err
	}
	driver := trips.DriverID(s.user.ID)
	key := trips.IdempotencyKey{Actor: s.user, ID: id, Fingerprint: "accept " + a.GetOfferId()}

	o, err := s.g.cfg.Inbox.Take(driver, a.GetOfferId())
	if !a.GetAccept() {
		if err == nil {
			s.g.cfg.OnOfferDeclined(o)
		}
		return nil // an offer that is gone counts as declined
	}

	if err != nil {
		ev, err := s.g.acceptedBefore(ctx, key, a.GetOfferId(), err)
		if err == nil {
			ack.setTrip(ev)
		}
		return err
	}

	ev, err := s.g.cfg.Trips.Apply(ctx, key, o.Trip.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Reserve(driver, at)
	})
	if errors.Is(err, trips.ErrAbandoned) {
		// The phone came back to another node meanwhile, and was refused there.
		err = fmt.Errorf("%w: %w", dispatch.ErrOfferGone, err)
	}
	if err != nil {
		s.returnOffer(o, err)
		return err
	}

	ack.setTrip(ev)
	return nil
}

// returnOffer puts an offer back that could not be accepted because the
// database was away, and lets the dispatcher ask another driver when it never
// will be.
func (s *session) returnOffer(o dispatch.Offer, err error) {
	if translate.IsUnavailable(err) {
		s.g.cfg.Inbox.Put(o)
		return
	}
	s.g.cfg.OnOfferDeclined(o)
}

func (s *session) requestTrip(ctx context.Context, id string, r *wire.RequestTrip, ack *answer) error {
	if err := s.requireRole(trips.RoleRider); err != nil {
		return err
	}

	j := booking.Journey{Quote: r.GetQuote()}
	if r.Pickup != nil {
		j.Pickup = new(translate.DecodePoint(r.Pickup))
	}
	if r.Dropoff != nil {
		j.Dropoff = new(translate.DecodePoint(r.Dropoff))
	}

	ev, err := s.g.cfg.Booking.RequestTrip(ctx, trips.RiderID(s.user.ID), id, j)
	if err == nil {
		ack.setTrip(ev)
	}

	return err
}

func (s *session) moveTrip(ctx context.Context, id string, m *wire.MoveTrip, ack *answer) error {
	if err := s.requireRole(trips.RoleDriver); err != nil {
		return err
	}
	steps := map[wire.Step]func(trips.Trip, trips.Actor, time.Time) (trips.Event, error){
		wire.Step_ARRIVE: trips.Trip.Arrive, wire.Step_START: trips.Trip.Start, wire.Step_COMPLETE: trips.Trip.Complete}

	step := steps[m.GetStep()]
	if step == nil {
		return translate.Refuse(wire.CodeBadField, "The step is ARRIVE, START or COMPLETE.")
	}
	if !translate.IsPlainID(m.GetTripId()) {
		return trips.ErrNotFound
	}

	key := trips.IdempotencyKey{Actor: s.user, ID: id, Fingerprint: m.GetStep().String() + " " + m.GetTripId()}
	ev, err := s.g.cfg.Trips.Apply(ctx, key, trips.TripID(m.GetTripId()), func(t trips.Trip, at time.Time) (trips.Event, error) {
		return step(t, s.user, at)
	})
	if err == nil {
		ack.setTrip(ev)
	}

	return err
}

func (s *session) cancelTrip(ctx context.Context, id string, c *wire.CancelTrip, ack *answer) error {
	if err := translate.CheckReason(c.GetReason()); err != nil {
		return err
	}
	if !translate.IsPlainID(c.GetTripId()) {
		return trips.ErrNotFound
	}

	key := trips.IdempotencyKey{Actor: s.user, ID: id, Fingerprint: "cancel " + c.GetTripId()}
	ev, err := s.g.cfg.Trips.Apply(ctx, key, trips.TripID(c.GetTripId()), func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Cancel(s.user, c.GetReason(), at)
	})
	if err == nil {
		ack.setTrip(ev)
	}
	return err
}

func (s *session) sendChat(ctx context.Context, id string, c *wire.SendChat, ack *answer) error {
	if !translate.IsPlainID(c.GetTripId()) {
		return trips.ErrNotFound
	}
	m, err := s.g.cfg.Room.Send(ctx, s.user, trips.TripID(c.GetTripId()), id, c.GetText())
	ack.ChatSeq = m.Seq
	if err == nil {
		s.g.deliverChat(m, here)
	}
	return err
}

// typingMark travels between nodes by publish/subscribe alone.
type typingMark struct {
	Trip trips.TripID `json:"trip"`
	From trips.Role   `json:"from"`
}

// publishTyping publishes a typing mark, if it is about the trip that this
// session follows. The mark may be lost.
func (s *session) publishTyping(t *wire.Typing) {
	s.mu.Lock()
	trip, region := s.cursor.trip, s.cursor.region
	s.mu.Unlock()

	if trip == "" || t.GetTripId() != string(trip) {
		return
	}

	payload, err := json.Marshal(typingMark{trip, s.user.Role})
	if err != nil {
		return // two strings always encode
	}

	s.g.spawn(func() {
		ctx, cancel := context.WithTimeout(s.g.base, time.Second)
		defer cancel()
		if s.g.cfg.Publish(ctx, TopicTyping, region, payload) != nil {
			s.g.metrics.drops.WithLabelValues("typing").Inc()
		}
	})
}

// receiveFix takes a driver's position. If the fix filter accepts it, it is in
// the shared state and with the sessions of the driver's riders when this
// returns. The session's reader calls it.
func (s *session) receiveFix(f *wire.Fix, now time.Time) {
	if s.user.Role != trips.RoleDriver || f.GetPoint() == nil || math.IsNaN(f.AtMs) || math.Abs(f.AtMs) > maxMillis {
		s.g.metrics.updates.WithLabelValues("malformed").Inc()
		return
	}
	fix := location.Fix{Point: translate.DecodePoint(f.Point), Seq: f.Seq, At: wire.FromMillis(f.AtMs), Heading: f.Heading, Speed: f.Speed, Accuracy: f.Accuracy}

	id := trips.DriverID(s.user.ID)
	why, flags := s.seat.Move(fix, now)
	if flags != 0 && s.g.cfg.OnSuspect != nil {
		s.g.cfg.OnSuspect(id, flags, now)
	}
	if why != location.Accepted {
		s.g.metrics.updates.WithLabelValues(string(why)).Inc()
		return
	}

	s.g.metrics.accepted.Inc()
	s.watchers = s.g.sessions.Watchers(id, s.watchers[:0])
	for _, w := range s.watchers {
		w.out.deliverPosition(id, fix, now)
	}
}

// DeliverReplica sends the newest position of another node's driver, which the
// shared state has by now, to the riders here who watch the car. It does not
// wait for a phone.
func (g *Gateway) DeliverReplica(id trips.DriverID) {
	watchers := g.sessions.Watchers(id, nil)
	if len(watchers) == 0 {
		return
	}

	if d, ok := g.cfg.Drivers.Get(id); ok && d.HasPosition() {
		for _, w := range watchers {
			w.out.deliverPosition(id, d.Fix, d.ReceivedAt)
		}
	}
}

const maxMillis = 1e14 // the year 5138
