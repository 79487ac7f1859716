package gateway

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// command is a request of a phone that is answered with an ack. The body
// is a *wire.ClientFrame_….
type command struct {
	id    string
	body  any
	times commandTimes
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
		s.out.ackPositions(b.PositionAck.GetN(), f.SentMs, now)
	case *wire.ClientFrame_Ping:
		s.out.writeNow(&wire.ServerFrame{Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{
			T1Ms: b.Ping.GetT1Ms(), T2Ms: wire.ToMillis(now), T3Ms: wire.ToMillis(s.g.cfg.Now())}}}, nil)
	case *wire.ClientFrame_Typing:
		s.publishTyping(b.Typing)
	case *wire.ClientFrame_WatchArea:
		s.watchArea(f.Id, b.WatchArea)
	case *wire.ClientFrame_Hello, nil:
		s.sendRefusal(f.Id, translate.Refuse(wire.CodeBadFrame, "Send one body per frame, and hello only once."))
	default:
		s.queueCommand(command{f.Id, b, commandTimes{sentMs: f.SentMs, readAt: now, queuedAt: s.g.cfg.Tracer.Now()}})
	}
}

// queueCommand queues a command behind the session's earlier ones. When too
// many wait, it is refused.
func (s *session) queueCommand(c command) {
	if !translate.IsPlainID(c.id) {
		s.sendRefusal(c.id, translate.Refuse(wire.CodeBadField, "A command needs an id of 1 to 64 bytes without control "+
			"characters, new for each command and the same when you send it again."))
		return
	}

	s.mu.Lock()
	admission := s.commands.addCommand(c, s.g.cfg.Limits.Commands)
	s.mu.Unlock()

	switch admission {
	case commandFull:
		s.g.metrics.drops.WithLabelValues("commands_full").Inc()
		refused := &answer{Ack: newRefusal(c.id, translate.Refuse(wire.CodeTooMany, "Too many commands wait; send it again in a second."))}
		c.times.begunAt = c.times.queuedAt
		s.sendAck(refused.Ack, s.recordCommand(c, refused))
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

// runCommand executes one command and acks it, now or, without holding up the
// next ones, once it cannot be under way on another node any more.
func (s *session) runCommand(c command) {
	if !s.mayRunElsewhere(c) {
		s.completeCommand(c)
		return
	}
	s.g.spawn(func() {
		if s.awaitElsewhere(c) {
			s.completeCommand(c)
		}
	})
}

// completeCommand executes one command and acks it. The command outlives its
// socket: what was begun is finished, and the phone asks again with the same
// id.
func (s *session) completeCommand(c command) {
	defer s.g.userLocks.lockUser(s.user)()
	ctx, cancel := context.WithTimeout(s.g.base, s.g.cfg.Limits.CommandWithin)
	defer cancel()

	ack := &answer{Ack: &wire.Ack{Id: c.id}}
	c.times.begunAt = s.g.cfg.Tracer.Now()
	kind, err := s.executeCommand(ctx, c, ack)
	result := "ok"
	if err != nil {
		code, text := translate.ExplainError(err)
		if translate.IsUnavailable(err) {
			s.g.cfg.Log.Warn("a command failed", "kind", kind, "user", s.user, "err", err)
		}
		ack.Ack = &wire.Ack{Id: c.id, Code: string(code), Message: text}
		result = string(code)
	}

	s.g.metrics.commands.WithLabelValues(kind, result).Inc()
	s.sendAck(ack.Ack, s.recordCommand(c, ack))
	if ack.done.ID != "" {
		s.catchUpAfterAck(ctx, ack.done)
	}
}

// answer is an ack with the trip it is about, if there is one, as the command
// left it.
type answer struct {
	*wire.Ack
	done trips.Trip
	at   time.Time // of the event or the message; zero: there is none

	// The trip of the offer that was answered, and which of its offers it was.
	offeredTrip trips.TripID
	offerNth    int
}

// setTrip puts the trip of a committed event into the ack, unless there is an
// error, which it returns. The sessions of this node get the event by
// DeliverCommitted, those of other nodes through Redis.
func (a *answer) setTrip(ev trips.Event, err error) error {
	if err == nil && ev.Trip.ID != "" {
		a.Trip, a.done, a.at = translate.EncodeTrip(ev.Trip), ev.Trip, ev.At
	}
	return err
}

// executeCommand runs a command and fills in the ack. It returns the command's
// kind, for the counters.
func (s *session) executeCommand(ctx context.Context, c command, ack *answer) (kind string, err error) {
	switch b := c.body.(type) {
	case *wire.ClientFrame_SetAvailable:
		return "set_available", s.setAvailable(b.SetAvailable.GetAvailable(), ack)
	case *wire.ClientFrame_AnswerOffer:
		return "answer_offer", ack.setTrip(s.answerOffer(ctx, c, b.AnswerOffer, ack))
	case *wire.ClientFrame_RequestTrip:
		return "request_trip", ack.setTrip(s.requestTrip(ctx, c.id, b.RequestTrip))
	case *wire.ClientFrame_MoveTrip:
		return "move_trip", ack.setTrip(s.moveTrip(ctx, c.id, b.MoveTrip))
	case *wire.ClientFrame_CancelTrip:
		return "cancel_trip", ack.setTrip(s.cancelTrip(ctx, c.id, b.CancelTrip))
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

// setAvailable takes the session's driver on duty, or off. The ack's message
// says why no offers come, if none can.
func (s *session) setAvailable(wants bool, ack *answer) error {
	if err := s.requireRole(trips.RoleDriver); err != nil {
		return err
	}
	s.g.cfg.Drivers.SetAvailable(trips.DriverID(s.user.ID), wants)

	switch why := s.g.noOffersBecause(trips.DriverID(s.user.ID)); {
	case wants && why == wire.NoOffersOnTrip:
		ack.Message = "You are on a trip; offers come when it has ended."
	case wants && why == wire.NoOffersNoPosition:
		ack.Message = "You are on duty, but there is no fresh position of yours: no offers come until a fix is believed."
	}
	return nil
}

// requestTrip opens a trip for the session's rider.
func (s *session) requestTrip(ctx context.Context, id string, r *wire.RequestTrip) (trips.Event, error) {
	if err := s.requireRole(trips.RoleRider); err != nil {
		return trips.Event{}, err
	}

	j := booking.Journey{Quote: r.GetQuote()}
	if r.Pickup != nil {
		j.Pickup = new(translate.DecodePoint(r.Pickup))
	}
	if r.Dropoff != nil {
		j.Dropoff = new(translate.DecodePoint(r.Dropoff))
	}

	return s.g.cfg.Booking.RequestTrip(ctx, trips.RiderID(s.user.ID), id, j)
}

// stepKinds are the events that steps lead to.
var stepKinds = map[wire.Step]trips.Kind{
	wire.Step_ARRIVE: trips.KindArrived, wire.Step_START: trips.KindOnTrip, wire.Step_COMPLETE: trips.KindCompleted}

// moveTrip makes the step that the trip's driver asks for: arrive, start or
// complete. The car must be where the step belongs (trips.CheckPlace). A step
// that was made before is answered by its key, wherever the car is by now.
func (s *session) moveTrip(ctx context.Context, id string, m *wire.MoveTrip) (trips.Event, error) {
	if err := s.requireRole(trips.RoleDriver); err != nil {
		return trips.Event{}, err
	}

	kind := stepKinds[m.GetStep()]
	if kind == "" {
		return trips.Event{}, translate.Refuse(wire.CodeBadField, "The step is ARRIVE, START or COMPLETE.")
	}
	if m.GetEarly() && kind != trips.KindCompleted {
		return trips.Event{}, translate.Refuse(wire.CodeBadField, "Only COMPLETE can be early.")
	}
	if !translate.IsPlainID(m.GetTripId()) {
		return trips.Event{}, trips.ErrNotFound
	}

	key := trips.IdempotencyKey{Actor: s.user, ID: id, Fingerprint: m.GetStep().String() + " " + m.GetTripId()}
	if m.GetEarly() {
		key.Fingerprint += " early"
	}
	return s.g.cfg.Trips.Apply(ctx, key, trips.TripID(m.GetTripId()), func(t trips.Trip, at time.Time) (trips.Event, error) {
		car := s.g.cfg.Drivers.LastFix(trips.DriverID(s.user.ID), at)
		return t.MakeStep(trips.Step{Kind: kind, Early: m.GetEarly(), Car: car}, s.user, at)
	})
}

// cancelTrip cancels a trip for its rider or its driver.
func (s *session) cancelTrip(ctx context.Context, id string, c *wire.CancelTrip) (trips.Event, error) {
	reason, err := translate.CleanReason(c.GetReason())
	if err != nil {
		return trips.Event{}, err
	}
	if !translate.IsPlainID(c.GetTripId()) {
		return trips.Event{}, trips.ErrNotFound
	}

	key := trips.IdempotencyKey{Actor: s.user, ID: id, Fingerprint: "cancel " + c.GetTripId()}
	return s.g.cfg.Trips.Apply(ctx, key, trips.TripID(c.GetTripId()), func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Cancel(s.user, reason, at)
	})
}

// sendChat stores a chat message and delivers it to the sessions of this node.
// Other nodes get it through Redis.
func (s *session) sendChat(ctx context.Context, id string, c *wire.SendChat, ack *answer) error {
	if !translate.IsPlainID(c.GetTripId()) {
		return trips.ErrNotFound
	}
	m, err := s.g.cfg.Room.Send(ctx, s.user, trips.TripID(c.GetTripId()), id, c.GetText())
	ack.ChatSeq, ack.at = m.Seq, m.At
	if err == nil {
		s.g.deliverChat(trips.Actor{}, m, here)
	}
	return err
}

// typingMark travels between nodes by publish/subscribe alone.
type typingMark struct {
	Trip trips.TripID `json:"trip"`
	From trips.Role   `json:"from"`
}

// publishTyping publishes a typing mark to the other party, if it is about the
// trip that this session follows. The mark may be lost.
func (s *session) publishTyping(t *wire.Typing) {
	s.mu.Lock()
	trip, region, other := s.cursor.trip, s.cursor.region, s.cursor.other
	s.mu.Unlock()

	if trip == "" || t.GetTripId() != string(trip) || other.ID == "" {
		return
	}

	payload, err := json.Marshal(typingMark{trip, s.user.Role})
	if err != nil {
		return // two strings always encode
	}

	s.g.spawn(func() {
		ctx, cancel := context.WithTimeout(s.g.base, time.Second)
		defer cancel()
		if s.g.cfg.Publish(ctx, other, TopicTyping, region, payload) != nil {
			s.g.metrics.drops.WithLabelValues("typing").Inc()
		}
	})
}
