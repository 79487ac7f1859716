package simulators

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

const (
	patienceMean = 90.0 // seconds of the city until a driver is found
	fickle       = 0.03 // share of riders who cancel although a driver comes
	// after the ride
	receiptIn = 20 * time.Second
	tidyUp    = 5 * time.Second // for the last acks, and an operator
)

// rider wants one ride and follows it to its receipt.
type rider struct {
	*crowd
	phone  *phone
	wish   *wish
	looked func()
	talk   talk
	help   help

	// What is decided beforehand, in seconds of the city, so that it does not
	// depend on the network.
	patience, mindAfter float64
	mindChanges         bool

	welcomed   bool
	requesting string // id of the command
	requoted   bool   // the first quote had expired
	cancelling string
	trip       *wire.Trip
	patienceAt time.Time
	mindAt     time.Time
	receiptBy  time.Time
	receipts   map[string]bool // by trip
	reserved   bool            // a driver was seen
	arrived    bool            // and waited
	endAt      time.Time       // the ride is over; zero before
}

func newRider(c *crowd, s *somebody, p *phone, w *wish, looked func()) *rider {
	return &rider{crowd: c, phone: p, wish: w, looked: looked, talk: talk{rng: s.talk, clock: c.clock},
		help:     help{rng: s.help, clock: c.clock, share: c.SOS},
		patience: patienceMean * s.choices.ExpFloat64(), mindAfter: uniform(s.choices, 5, 30),
		mindChanges: s.choices.Float64() < fickle, receipts: make(map[string]bool)}
}

func (r *rider) hear(f *wire.ServerFrame, now time.Time) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Welcome:
		r.enter(b.Welcome, now)
	case *wire.ServerFrame_Ack:
		r.acked(b.Ack, now)
	case *wire.ServerFrame_TripEvent:
		r.follow(b.TripEvent.Trip, now)
	case *wire.ServerFrame_Receipt:
		r.paid(b.Receipt, now)
	case *wire.ServerFrame_SosSeen:
		r.help.seen(b.SosSeen.Id)
	case *wire.ServerFrame_Chat:
		if r.underWay() && b.Chat.From == client.RoleDriver && b.Chat.TripId == r.trip.Id {
			r.talk.plan(now, 0.4, "Thank you", "OK, see you", "I am coming down", "Great")
		}
	}
}

func (r *rider) underWay() bool { return r.trip != nil && client.Active(r.trip.State) }

func (r *rider) enter(w *wire.Welcome, now time.Time) {
	switch {
	case !r.welcomed:
		r.begin(w, now)
	case w.Trip != nil:
		r.follow(w.Trip, now)
	case !w.Recovered && r.underWay():
		r.Stats.lost.Add(1) // it ended, and nobody will say how
		r.trip.State = ""
		r.end(now)
	}
}

// begin takes up the trip that the node knows of, or requests one, or has
// nothing to do here.
func (r *rider) begin(w *wire.Welcome, now time.Time) {
	r.welcomed = true

	switch {
	case w.Trip != nil && client.Active(w.Trip.State):
		r.looked()
		r.Stats.continued.Add(1)
		r.reserved, r.arrived = w.Trip.ReservedMs > 0, w.Trip.ArrivedMs > 0
		r.patienceAt = now.Add(r.clock.wall(r.patience))
		r.follow(w.Trip, now)
	case r.wish != nil:
		r.request()
	default:
		r.end(now)
	}
}

func (r *rider) acked(a *wire.Ack, now time.Time) {
	if a.Code != "" {
		r.Stats.refused.Add(1)
		r.net.log.Debug("a command was refused", "rider", r.phone.id, "code", a.Code, "message", a.Message)
	}
	r.help.answered(a)

	switch {
	case a.Id == r.cancelling:
		r.cancelling = ""
		r.follow(a.Trip, now)
	case a.Id != r.requesting:
	case a.Code == string(wire.CodeQuoteExpired) && !r.requoted:
		// the connection was away for long
		r.requoted = true
		r.request()
	case a.Code != "":
		r.end(now)
	default:
		r.requesting = ""
		r.Stats.requested.Add(1)
		r.patienceAt = now.Add(r.clock.wall(r.patience))
		r.follow(a.Trip, now)
	}
}

// follow takes a newer version of the trip; nil and older ones mean nothing.
func (r *rider) follow(t *wire.Trip, now time.Time) {
	if t == nil || !r.endAt.IsZero() || r.trip != nil && (t.Id != r.trip.Id || t.Version <= r.trip.Version) {
		return
	}
	r.trip = t

	if t.ReservedMs > 0 && !r.reserved {
		r.reserved = true
		r.Stats.reserved.Add(1)
		r.help.plan(now)
		r.talk.plan(now, 0.3, "I am at the gate", "Hello, I wear a red cap", "Please call when you are near", "See you soon")
		if r.mindChanges {
			r.mindAt = now.Add(r.clock.wall(r.mindAfter))
		}
	}

	if t.ArrivedMs > 0 && !r.arrived {
		r.arrived = true
		r.Stats.pickup((t.ArrivedMs - t.RequestedMs) / 1e3 * r.Speed)
	}

	switch t.State {
	case client.StateOnTrip:
		r.mindAt = time.Time{}
	case client.StateCompleted:
		r.Stats.completed.Add(1)
		r.receiptBy = now.Add(receiptIn)
		if r.receipts[t.Id] {
			r.end(now)
		}
	case client.StateCancelled:
		r.Stats.cancelled.Add(1)
		r.end(now)
	case client.StateExpired:
		r.Stats.expired.Add(1)
		r.end(now)
	}
}

// paid takes a receipt; the one of the trip before may come now.
func (r *rider) paid(b *wire.Receipt, now time.Time) {
	if r.receipts[b.TripId] {
		return
	}
	r.receipts[b.TripId] = true
	r.Stats.receipts.Add(1)
	if r.trip != nil && r.trip.Id == b.TripId && r.trip.State == client.StateCompleted {
		r.end(now)
	}
}

// end leaves as soon as everything is acked and an operator has seen the call
// for help, if there was one.
func (r *rider) end(now time.Time) {
	if r.endAt.IsZero() {
		r.endAt = now.Add(tidyUp)
		r.talk.hush()
		r.help.hush()
	}
}

func (r *rider) act(_ context.Context, now time.Time) (time.Time, bool) {
	if due(r.receiptBy, now) {
		r.end(now)
	}
	if !r.endAt.IsZero() {
		return r.endAt, !r.phone.busy() && !r.help.waits() || due(r.endAt, now)
	}
	if !r.underWay() {
		return r.receiptBy, false
	}

	switch {
	case r.trip.State == client.StateRequested && due(r.patienceAt, now):
		r.cancel("waited too long")
	case due(r.mindAt, now):
		r.cancel("changed my mind")
	}

	r.talk.act(r.phone, r.trip.Id, now)
	r.help.act(r.phone, r.trip.Id, now)
	next := earliest(r.mindAt, r.talk.due(), r.help.callAt)
	if r.trip.State == client.StateRequested {
		next = earliest(next, r.patienceAt)
	}

	return next, false
}

// cancel is asked for once: if it is refused, the ride has begun or is over.
func (r *rider) cancel(reason string) {
	r.patienceAt, r.mindAt = time.Time{}, time.Time{}
	r.cancelling = r.phone.command(client.Frame(&wire.CancelTrip{TripId: r.trip.Id, Reason: reason}))
}
