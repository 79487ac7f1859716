package simulators

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

const (
	meanPatience    = 90.0 // seconds of the city until a driver is found
	changeMindShare = 0.03 // of riders, who cancel although a driver comes
	// receiptTimeout is counted from the end of the ride.
	receiptTimeout = 20 * time.Second
	leaveTimeout   = 5 * time.Second // for the last acks and an operator
)

// rider requests one trip and follows it to its receipt. One goroutine owns it.
type rider struct {
	// Fixed at creation. Decisions are drawn there, in seconds of the city, so
	// that they do not depend on the network.
	*population
	phone           *phone
	demand          *tripDemand // nil: only follows a trip that is under way
	onTripKnown     func()      // called when a trip of an earlier run is found
	patience        float64
	changeMindAfter float64
	changesMind     bool

	// The connection and the commands.
	welcomed       bool
	requestCommand string // id; "" when none is unanswered
	requoted       bool   // the first quote had expired
	cancelCommand  string // id; "" when none is unanswered
	chat           chatPlan
	sos            sosPlan

	// The trip.
	trip         *wire.Trip // nil before the first
	patienceAt   time.Time  // cancels then, unless a driver is found
	changeMindAt time.Time
	receiptBy    time.Time
	receipts     map[string]bool // by trip
	reserved     bool            // counted in the statistics
	arrived      bool            // counted in the statistics
	leaveBy      time.Time       // zero before the ride is over
}

func newRider(c *population, s *resident, p *phone, w *tripDemand, onTripKnown func()) *rider {
	return &rider{population: c, phone: p, demand: w, onTripKnown: onTripKnown, chat: chatPlan{rng: s.chatRandom, clock: c.clock},
		sos:      sosPlan{rng: s.sosRandom, clock: c.clock, share: c.SOS},
		patience: meanPatience * s.choiceRandom.ExpFloat64(), changeMindAfter: drawUniform(s.choiceRandom, 5, 30),
		changesMind: s.choiceRandom.Float64() < changeMindShare, receipts: make(map[string]bool)}
}

func (r *rider) handleFrame(f *wire.ServerFrame, now time.Time) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Welcome:
		r.applyWelcome(b.Welcome, now)
	case *wire.ServerFrame_Ack:
		r.handleAck(b.Ack, now)
	case *wire.ServerFrame_TripEvent:
		r.applyTrip(b.TripEvent.Trip, now)
	case *wire.ServerFrame_Receipt:
		r.handleReceipt(b.Receipt, now)
	case *wire.ServerFrame_SosSeen:
		r.sos.markSeen(b.SosSeen.Id)
	case *wire.ServerFrame_Chat:
		if r.hasActiveTrip() && b.Chat.From == client.RoleDriver && b.Chat.TripId == r.trip.Id {
			r.chat.planLine(now, 0.4, "Thank you", "OK, see you", "I am coming down", "Great")
		}
	}
}

func (r *rider) hasActiveTrip() bool { return r.trip != nil && client.IsActive(r.trip.State) }

func (r *rider) applyWelcome(w *wire.Welcome, now time.Time) {
	switch {
	case !r.welcomed:
		r.beginRide(w, now)
	case w.Trip != nil:
		r.applyTrip(w.Trip, now)
	case !w.Recovered && r.hasActiveTrip():
		r.Stats.lost.Add(1) // It ended, and no event will say how.
		r.trip.State = ""
		r.beginLeaving(now)
	}
}

// beginRide continues the trip that the node knows of, requests one, or leaves
// when the rider wants none.
func (r *rider) beginRide(w *wire.Welcome, now time.Time) {
	r.welcomed = true

	switch {
	case w.Trip != nil && client.IsActive(w.Trip.State):
		r.onTripKnown()
		r.Stats.continued.Add(1)
		r.reserved, r.arrived = w.Trip.ReservedMs > 0, w.Trip.ArrivedMs > 0
		r.patienceAt = now.Add(r.clock.realDuration(r.patience))
		r.applyTrip(w.Trip, now)
	case r.demand != nil:
		r.requestTrip()
	default:
		r.beginLeaving(now)
	}
}

func (r *rider) handleAck(a *wire.Ack, now time.Time) {
	if a.Code != "" {
		r.Stats.refused.Add(1)
		r.network.log.Debug("a command was refused", "rider", r.phone.id, "code", a.Code, "message", a.Message)
	}
	r.sos.handleAck(a)

	switch {
	case a.Id == r.cancelCommand:
		r.cancelCommand = ""
		r.applyTrip(a.Trip, now)
	case a.Id != r.requestCommand:
	case a.Code == string(wire.CodeQuoteExpired) && !r.requoted:
		r.requoted = true
		r.requestTrip()
	case a.Code != "":
		r.beginLeaving(now)
	default:
		r.requestCommand = ""
		r.Stats.requested.Add(1)
		r.patienceAt = now.Add(r.clock.realDuration(r.patience))
		r.applyTrip(a.Trip, now)
	}
}

// applyTrip takes a newer version of the trip. It ignores nil and older ones.
func (r *rider) applyTrip(t *wire.Trip, now time.Time) {
	if t == nil || !r.leaveBy.IsZero() || r.trip != nil && (t.Id != r.trip.Id || t.Version <= r.trip.Version) {
		return
	}
	r.trip = t

	if t.ReservedMs > 0 && !r.reserved {
		r.reserved = true
		r.Stats.reserved.Add(1)
		r.sos.planCall(now)
		r.chat.planLine(now, 0.3, "I am at the gate", "Hello, I wear a red cap", "Please call when you are near", "See you soon")
		if r.changesMind {
			r.changeMindAt = now.Add(r.clock.realDuration(r.changeMindAfter))
		}
	}

	if t.ArrivedMs > 0 && !r.arrived {
		r.arrived = true
		r.Stats.recordPickup((t.ArrivedMs - t.RequestedMs) / 1e3 * r.Speed)
	}

	switch t.State {
	case client.StateOnTrip:
		r.changeMindAt = time.Time{}
	case client.StateCompleted:
		r.Stats.completed.Add(1)
		r.receiptBy = now.Add(receiptTimeout)
		if r.receipts[t.Id] {
			r.beginLeaving(now)
		}
	case client.StateCancelled:
		r.Stats.cancelled.Add(1)
		r.beginLeaving(now)
	case client.StateExpired:
		r.Stats.expired.Add(1)
		r.beginLeaving(now)
	}
}

// handleReceipt takes a receipt, which may be that of an earlier trip.
func (r *rider) handleReceipt(b *wire.Receipt, now time.Time) {
	if r.receipts[b.TripId] {
		return
	}
	r.receipts[b.TripId] = true
	r.Stats.receipts.Add(1)
	if r.trip != nil && r.trip.Id == b.TripId && r.trip.State == client.StateCompleted {
		r.beginLeaving(now)
	}
}

// beginLeaving lets the rider leave as soon as every command is answered and an
// operator has seen a call for help, or after leaveTimeout.
func (r *rider) beginLeaving(now time.Time) {
	if r.leaveBy.IsZero() {
		r.leaveBy = now.Add(leaveTimeout)
		r.chat.cancelLine()
		r.sos.cancelCall()
	}
}

func (r *rider) doDueActions(_ context.Context, now time.Time) (time.Time, bool) {
	if isDue(r.receiptBy, now) {
		r.beginLeaving(now)
	}
	if !r.leaveBy.IsZero() {
		return r.leaveBy, !r.phone.hasUnanswered() && !r.sos.awaitsOperator() || isDue(r.leaveBy, now)
	}
	if !r.hasActiveTrip() {
		return r.receiptBy, false
	}

	switch {
	case r.trip.State == client.StateRequested && isDue(r.patienceAt, now):
		r.cancelTrip("waited too long")
	case isDue(r.changeMindAt, now):
		r.cancelTrip("changed my mind")
	}

	r.chat.sendDue(r.phone, r.trip.Id, now)
	r.sos.sendDue(r.phone, r.trip.Id, now)
	next := earliestTime(r.changeMindAt, r.chat.nextDueAt(), r.sos.callAt)
	if r.trip.State == client.StateRequested {
		next = earliestTime(next, r.patienceAt)
	}

	return next, false
}

// cancelTrip cancels once: a refusal means that the ride has begun or is over.
func (r *rider) cancelTrip(reason string) {
	r.patienceAt, r.changeMindAt = time.Time{}, time.Time{}
	r.cancelCommand = r.phone.sendCommand(client.NewFrame(&wire.CancelTrip{TripId: r.trip.Id, Reason: reason}))
}
