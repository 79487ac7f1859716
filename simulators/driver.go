package simulators

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// driver cruises, thinks about offers, and drives trips.
type driver struct {
	*fleet
	phone   *phone
	places  *rand.Rand // where the driver starts and cruises to
	choices *rand.Rand // what is decided
	habits  *rand.Rand // noise

	at             location.Point
	way            way
	heading, speed float64   // metres per second of the city
	rolled         time.Time // when at was computed
	drift          drift
	seq            uint32
	fixAt          time.Time // when the next fix is due
	welcomed       bool

	offer     *wire.Offer // in hand
	accepts   bool
	answerAt  time.Time
	answering string // id of the command that answers it

	// being driven, else nil
	trip *wire.Trip
	// the newest version of the newest trip
	last  *wire.Trip
	ended string // id of the trip before, of which late news may still come
	led   bool   // the way leads where the trip wants the car
	// when the rider is in the car
	boardAt  time.Time
	stepping string    // id of the command that moves the trip on
	unsure   bool      // how the trip stands; a new connection will tell
	stepAt   time.Time // no step before
	talk     talk
	help     help
}

func (f *fleet) newDriver(id string) *driver {
	d := &driver{fleet: f, places: stream(f.Seed, id, "places"), choices: stream(f.Seed, id, "choices"),
		habits: stream(f.Seed, id, "habits"), talk: talk{rng: stream(f.Seed, id, "talk"), clock: f.clock},
		help: help{rng: stream(f.Seed, id, "help"), clock: f.clock, share: f.SOS}}
	d.at = f.City.RandomPoint(d.places)
	return d
}

func (d *driver) hear(f *wire.ServerFrame, now time.Time) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Welcome:
		d.enter(b.Welcome, now)
	case *wire.ServerFrame_Offer:
		d.consider(b.Offer, now)
	case *wire.ServerFrame_OfferGone:
		if d.offer != nil && d.offer.Id == b.OfferGone.Id && d.answering == "" {
			d.offer = nil
		}
	case *wire.ServerFrame_Ack:
		d.acked(b.Ack, now)
	case *wire.ServerFrame_TripEvent:
		d.follow(b.TripEvent.Trip, now)
	case *wire.ServerFrame_Chat:
		if d.trip != nil && b.Chat.From == client.RoleRider && b.Chat.TripId == d.trip.Id {
			d.talk.plan(now, 0.6, "OK", "I see", "No problem", "Two minutes", "Understood, thank you")
		}
	}
}

// enter begins a connection. Without a word on what was missed, only what the
// welcome says is true.
func (d *driver) enter(w *wire.Welcome, now time.Time) {
	if !d.welcomed && w.Trip != nil && w.Trip.State != client.StateReserved && w.Trip.Pickup != nil {
		d.at = pointOf(w.Trip.Pickup) // an earlier run got at least there
	}
	d.welcomed, d.unsure = true, false
	d.fixAt = now
	d.follow(w.Trip, now)

	if !w.Recovered {
		if w.Trip == nil && d.trip != nil {
			d.release()
		}
		if d.answering == "" {
			d.offer = nil
		}
	}

	d.phone.command(client.Frame(&wire.SetAvailable{Available: true}))
}

// consider takes an offer in hand. A driver who is busy lets it expire.
func (d *driver) consider(o *wire.Offer, now time.Time) {
	if d.offer != nil && d.offer.Id == o.Id {
		return // told again after a reconnect
	}
	d.Stats.offers.Add(1)
	if d.trip != nil || d.offer != nil {
		return
	}
	d.offer = o
	d.accepts = d.choices.Float64() >= d.Decline
	d.answerAt = now.Add(d.clock.wall(min(4, 0.5+d.choices.ExpFloat64())))
}

// answer answers the offer in hand when it has been thought about.
func (d *driver) answer(now time.Time) {
	if d.offer == nil || d.answering != "" || now.Before(d.answerAt) {
		return
	}
	d.answering = d.phone.command(client.Frame(&wire.AnswerOffer{OfferId: d.offer.Id, Accept: d.accepts}))
}

func (d *driver) acked(a *wire.Ack, now time.Time) {
	switch a.Id {
	case d.answering:
		d.answering, d.offer = "", nil
		switch {
		case a.Code == "" && d.accepts:
			d.Stats.accepted.Add(1)
		case a.Code == "":
			d.Stats.declined.Add(1)
		}

		d.follow(a.Trip, now)
	case d.stepping:
		if a.Code != "" {
			d.doubt(a, now)
			return
		}

		// the step is done; without the trip, its event is on its way
		d.follow(a.Trip, now)
	default:
		if a.Code != "" {
			d.Stats.refused.Add(1)
		}
	}
}

// doubt asks the node how the trip stands, by connecting anew, because it
// refused a step: it may have ended.
func (d *driver) doubt(a *wire.Ack, now time.Time) {
	d.Stats.refused.Add(1)
	d.net.log.Debug("a step was refused", "driver", d.phone.id, "code", a.Code, "message", a.Message)
	d.stepping, d.unsure, d.stepAt = "", true, now.Add(2*time.Second)
	d.phone.drop()
}

func (d *driver) act(ctx context.Context, now time.Time) (time.Time, bool) {
	d.roll(now)
	d.answer(now)

	if d.trip != nil {
		d.serve(ctx, now)
		d.talk.act(d.phone, d.trip.Id, now)
		d.help.act(d.phone, d.trip.Id, now)
	} else {
		d.cruise(ctx)
	}

	if d.welcomed && due(d.fixAt, now) {
		d.fix(now)
	}
	return d.next(now), false
}

// next is when something is due again.
func (d *driver) next(now time.Time) time.Time {
	next := earliest(d.fixAt, d.talk.due(), d.help.callAt)
	if d.offer != nil && d.answering == "" {
		next = earliest(next, d.answerAt)
	}

	if d.trip != nil && d.stepping == "" && !d.unsure {
		if d.trip.State == client.StateArrived {
			next = earliest(next, d.boardAt)
		}
		if d.led && !d.way.over() {
			next = earliest(next, now.Add(d.clock.wall(d.way.left)+time.Millisecond))
		}
	}

	return next
}

// roll drives up to now.
func (d *driver) roll(now time.Time) {
	if !d.rolled.IsZero() && !d.way.over() {
		d.at, d.heading, d.speed = d.way.advance(now.Sub(d.rolled).Seconds() * d.Speed)
	} else {
		d.speed = 0
	}

	d.rolled = now
}

func (d *driver) cruise(ctx context.Context) {
	if !d.way.over() {
		return
	}
	if len(d.search) == cap(d.search) { // draw no place that could not be used
		return
	}
	if w, ok := d.route(ctx, d.at, d.somewhere(d.places, d.at), false); ok {
		d.way = w
	}
}

// fix sends where the phone believes to be. The speed is what an observer on
// the wall's clock sees.
func (d *driver) fix(now time.Time) {
	every := time.Duration(float64(time.Second) / d.Rate)
	// late: skip, do not hurry after
	if d.fixAt = d.fixAt.Add(every); d.fixAt.Before(now) {
		d.fixAt = now.Add(every)
	}

	p := d.drift.apply(d.at, d.habits)
	d.seq++

	fix := &wire.Fix{Seq: d.seq, AtMs: wire.ToMillis(time.Now()), Point: wirePoint(p),
		Heading: float32(d.heading), Speed: float32(d.speed * d.Speed), Accuracy: fixAccuracy}
	if d.phone.send(client.Frame(fix)) {
		d.Stats.fixes.Add(1)
	}
}

func pointOf(p *wire.Point) location.Point { return location.Point{Lng: p.GetLng(), Lat: p.GetLat()} }

func wirePoint(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }
