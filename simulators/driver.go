package simulators

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// driver cruises, answers offers and drives trips. One goroutine owns it.
type driver struct {
	// Fixed at creation.
	*fleet
	phone        *phone
	placeRandom  *rand.Rand // start and cruising targets
	choiceRandom *rand.Rand // decisions
	driftRandom  *rand.Rand // errors of positions

	// The car.
	at             location.Point
	route          routeDrive
	heading, speed float64   // degrees; metres per second of the city
	positionAt     time.Time // when at was computed
	drift          drift
	seq            uint32 // of the last fix
	nextFixAt      time.Time
	welcomed       bool // there was a connection

	// The offer being considered.
	offer         *wire.Offer // nil for none
	willAccept    bool
	answerAt      time.Time
	answerCommand string // id of the command that answers it; "" before

	// The trip being driven, and the newest version of the newest trip, ended
	// or not. Both may be nil.
	trip, latestTrip *wire.Trip

	endedTripID  string    // late news of this trip is ignored
	onRoute      bool      // route leads to where the trip needs the car
	boardedAt    time.Time // when the rider will be in the car
	stepCommand  string    // id of the command that moves the trip; "" for none
	stateUnknown bool      // a step was refused: wait for the next welcome
	retryStepAt  time.Time // no step before this
	chat         chatPlan
	sos          sosPlan

	// A step asked for from afar.
	cheatRandom  *rand.Rand
	willCheat    bool
	cheatCommand string // its id; "" for none
	cheatPlace   location.Point
}

func (f *fleet) newDriver(id string) *driver {
	d := &driver{fleet: f, placeRandom: newRandomStream(f.Seed, id, "places"), choiceRandom: newRandomStream(f.Seed, id, "choices"),
		driftRandom: newRandomStream(f.Seed, id, "habits"), chat: chatPlan{rng: newRandomStream(f.Seed, id, "talk"), clock: f.clock},
		sos: sosPlan{rng: newRandomStream(f.Seed, id, "help"), clock: f.clock, share: f.SOS}}
	d.cheatRandom = newRandomStream(f.Seed, id, "lies")
	d.at = f.City.RandomPoint(d.placeRandom)
	return d
}

func (d *driver) handleFrame(f *wire.ServerFrame, now time.Time) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Welcome:
		d.applyWelcome(b.Welcome, now)
	case *wire.ServerFrame_Offer:
		d.considerOffer(b.Offer, now)
	case *wire.ServerFrame_OfferGone:
		if d.offer != nil && d.offer.Id == b.OfferGone.Id && d.answerCommand == "" {
			d.offer = nil
		}
	case *wire.ServerFrame_Ack:
		d.handleAck(b.Ack, now)
	case *wire.ServerFrame_TripEvent:
		d.applyTrip(b.TripEvent.Trip, now)
	case *wire.ServerFrame_Chat:
		if d.trip != nil && b.Chat.From == client.RoleRider && b.Chat.TripId == d.trip.Id {
			d.chat.planLine(now, 0.6, "OK", "I see", "No problem", "Two minutes", "Understood, thank you")
		}
	}
}

// applyWelcome begins a connection. If the node cannot send what was missed,
// only the welcome's trip is true.
func (d *driver) applyWelcome(w *wire.Welcome, now time.Time) {
	if !d.welcomed && w.Trip != nil && w.Trip.State != client.StateReserved && w.Trip.Pickup != nil {
		d.at = pointOf(w.Trip.Pickup) // An earlier run reached the pickup.
	}
	d.welcomed, d.stateUnknown = true, false
	d.nextFixAt = now
	d.applyTrip(w.Trip, now)

	if !w.Recovered {
		if w.Trip == nil && d.trip != nil {
			d.leaveTrip()
		}
		if d.answerCommand == "" {
			d.offer = nil
		}
	}

	d.phone.sendCommand(client.NewFrame(&wire.SetAvailable{Available: true}))
}

// considerOffer decides about an offer. A busy driver lets it expire.
func (d *driver) considerOffer(o *wire.Offer, now time.Time) {
	if d.offer != nil && d.offer.Id == o.Id {
		return // Sent again after a reconnect.
	}
	d.Stats.offers.Add(1)
	if d.trip != nil || d.offer != nil {
		return
	}
	d.offer = o
	d.willAccept = d.choiceRandom.Float64() >= d.Decline
	d.answerAt = now.Add(d.clock.realDuration(min(4, 0.5+d.choiceRandom.ExpFloat64())))
}

// answerOffer sends the answer to the offer when it is due.
func (d *driver) answerOffer(now time.Time) {
	if d.offer == nil || d.answerCommand != "" || now.Before(d.answerAt) {
		return
	}
	d.answerCommand = d.phone.sendCommand(client.NewFrame(&wire.AnswerOffer{OfferId: d.offer.Id, Accept: d.willAccept}))
}

func (d *driver) handleAck(a *wire.Ack, now time.Time) {
	switch a.Id {
	case d.answerCommand:
		d.answerCommand, d.offer = "", nil
		switch {
		case a.Code == "" && d.willAccept:
			d.Stats.accepted.Add(1)
		case a.Code == "":
			d.Stats.declined.Add(1)
		}

		d.applyTrip(a.Trip, now)
	case d.cheatCommand:
		d.handleCheatAck(a, now)
	case d.stepCommand:
		if a.Code != "" {
			d.reconnectAfterRefusal(a, now)
			return
		}

		// An ack without the trip is followed by the trip's event.
		d.applyTrip(a.Trip, now)
	default:
		if a.Code != "" {
			d.Stats.refused.Add(1)
		}
	}
}

// reconnectAfterRefusal drops the connection after a refused step. The trip may
// have ended, and the next welcome tells its state.
func (d *driver) reconnectAfterRefusal(a *wire.Ack, now time.Time) {
	d.Stats.refused.Add(1)
	if wire.Code(a.Code) == wire.CodeTooFar {
		d.Stats.tooFar.Add(1)
	}
	d.network.log.Debug("a step was refused", "driver", d.phone.id, "code", a.Code, "message", a.Message)
	d.stepCommand, d.stateUnknown, d.retryStepAt = "", true, now.Add(2*time.Second)
	d.phone.dropConnection()
}

func (d *driver) doDueActions(ctx context.Context, now time.Time) (time.Time, bool) {
	d.advancePosition(now)
	d.answerOffer(now)

	if d.trip != nil {
		d.advanceTrip(ctx, now)
		d.chat.sendDue(d.phone, d.trip.Id, now)
		d.sos.sendDue(d.phone, d.trip.Id, now)
	} else {
		d.cruiseOn(ctx)
	}

	if d.welcomed && isDue(d.nextFixAt, now) {
		d.sendFix(now)
	}
	return d.nextActionAt(now), false
}

// nextActionAt returns when something is due next.
func (d *driver) nextActionAt(now time.Time) time.Time {
	next := earliestTime(d.nextFixAt, d.chat.nextDueAt(), d.sos.callAt)
	if d.offer != nil && d.answerCommand == "" {
		next = earliestTime(next, d.answerAt)
	}

	if d.trip != nil && d.stepCommand == "" && !d.stateUnknown {
		if d.trip.State == client.StateArrived {
			next = earliestTime(next, d.boardedAt)
		}
		if d.onRoute && !d.route.isOver() {
			next = earliestTime(next, now.Add(d.clock.realDuration(d.route.leftSeconds)+time.Millisecond))
		}
	}

	return next
}

// advancePosition moves the car along its route up to now.
func (d *driver) advancePosition(now time.Time) {
	if !d.positionAt.IsZero() && !d.route.isOver() {
		d.at, d.heading, d.speed = d.route.driveFor(now.Sub(d.positionAt).Seconds() * d.Speed)
	} else {
		d.speed = 0
	}

	d.positionAt = now
}

// cruiseOn picks a new target when the car has reached the last one. While all
// search slots are taken, it draws no place and the car stands.
func (d *driver) cruiseOn(ctx context.Context) {
	if !d.route.isOver() || len(d.searchSlots) == cap(d.searchSlots) {
		return
	}
	if w, ok := d.findRoute(ctx, d.at, d.pickCruiseTarget(d.placeRandom, d.at), false); ok {
		d.route = w
	}
}

// freshFix is the age of a fix that says where the car is, and that no other one
// need follow: a node refuses those that come too close together.
const freshFix = 20 * time.Millisecond

// sendFreshFix sends a fix before its time, unless the last one is fresh.
func (d *driver) sendFreshFix(now time.Time) {
	if last := d.nextFixAt.Add(-d.fixInterval()); d.welcomed && now.Sub(last) > freshFix {
		d.nextFixAt = now
		d.sendFix(now)
	}
}

func (d *driver) fixInterval() time.Duration { return time.Duration(float64(time.Second) / d.Rate) }

// sendFix sends the position that the phone measures. Its speed is in metres
// per real second.
func (d *driver) sendFix(now time.Time) {
	every := d.fixInterval()
	// After a delay, skip fixes instead of sending several at once.
	if d.nextFixAt = d.nextFixAt.Add(every); d.nextFixAt.Before(now) {
		d.nextFixAt = now.Add(every)
	}

	p := d.drift.applyTo(d.at, d.driftRandom)
	d.seq++

	fix := &wire.Fix{Seq: d.seq, AtMs: wire.ToMillis(time.Now()), Point: wirePoint(p),
		Heading: float32(d.heading), Speed: float32(d.speed * d.Speed), Accuracy: fixAccuracy}
	if d.phone.sendFrame(client.NewFrame(fix)) {
		d.Stats.fixesSent.Add(1)
	}
}

func pointOf(p *wire.Point) location.Point { return location.Point{Lng: p.GetLng(), Lat: p.GetLat()} }

func wirePoint(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }
