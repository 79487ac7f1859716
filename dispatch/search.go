package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// newsKind is what a search is told from outside.
type newsKind int

const (
	moved    newsKind = iota // the trip stands elsewhere now
	look                     // the store may know more: read the trip again
	declined                 // the driver does not want the offer
	gone                     // the driver's phone has vanished
)

type news struct {
	kind   newsKind
	trip   trips.Trip     // moved
	driver trips.DriverID // declined, gone
	offer  string         // declined
}

// ending is how waiting ended.
type ending string

const (
	// nothing came: the offer expired, or it is time to try again
	waited   ending = "waited"
	won      ending = "accepted"
	over     ending = "over" // someone else has the trip, or it ended
	refused  ending = "declined"
	vanished ending = "driver_gone"
	stopped  ending = "stopped"
	gaveUp   ending = "gave_up"
)

// final says whether the search has nothing more to do.
func (e ending) final() bool { return e == won || e == over || e == stopped || e == gaveUp }

// search looks for a driver for one trip. It belongs to one goroutine; others
// only tell and stop it.
type search struct {
	d    *Dispatcher
	trip trips.Trip // as it was when the search began; never changes
	stop context.CancelFunc
	news chan news

	// Only the search's goroutine touches these; while it waits in a window,
	// only the window's does.
	hunt  *Hunt
	began time.Time
	ended trips.Trip // where the trip stood when the search was won or over
}

func newSearch(d *Dispatcher, t trips.Trip, stop context.CancelFunc) *search {
	return &search{d: d, trip: t, stop: stop, news: make(chan news, 8),
		hunt: NewHunt(t, d.cfg.Policy, d.cfg.Rules), began: d.cfg.Now()}
}

// tell never blocks: news that finds no room is healed by the next scan or the
// offer's expiry.
func (s *search) tell(n news) {
	select {
	case s.news <- n:
	default:
		s.d.m.dropped.WithLabelValues("news_full").Inc()
	}
}

// run asks one driver after the other. It looks at least once before it gives
// up, so that a trip that grew old while every node was down still gets its
// chance.
func (s *search) run(ctx context.Context) {
	end := waited
	for !end.final() {
		pair, found, over := s.choose(ctx)
		switch {
		case over.final():
			end = over
		case found:
			end = s.ask(ctx, pair)
		}

		if end.final() {
			break
		}

		if reason, exhausted := s.hunt.Exhausted(s.d.cfg.Now()); exhausted {
			end = s.giveUp(ctx, reason)
		} else if !found {
			end = s.await(ctx, s.pause(), nil)
		}
	}

	now := s.d.cfg.Now()
	s.d.m.searches.WithLabelValues(string(end)).Observe(now.Sub(s.began).Seconds())
	if end == won {
		s.d.m.toReserve.Observe(now.Sub(s.trip.RequestedAt).Seconds())
	}
}

// pause is how long a search rests that found nobody: a window is rest enough.
func (s *search) pause() time.Duration {
	if s.d.cfg.Policy.Window > 0 {
		return 0
	}
	return s.hunt.Rules().RetryEvery
}

// choose asks the policy for a driver, together with whoever else looks for one
// if that is the policy. News of the trip may end it earlier.
func (s *search) choose(ctx context.Context) (p Pair, ok bool, end ending) {
	policy := s.d.cfg.Policy
	if policy.Window > 0 {
		return s.d.windows.join(ctx, s)
	}

	ask, ok := s.hunt.Ask(s.d.cfg.Drivers, policy.Enough(), s.d.cfg.Now())
	if !ok {
		return Pair{}, false, waited
	}

	pairs := policy.Picker.Pick(ctx, []Ask{ask})
	if len(pairs) != 1 || pairs[0].Trip != s.trip.ID {
		return Pair{}, false, waited
	}
	return pairs[0], true, waited
}

// ask makes the offer and waits for what becomes of it. Whatever that is, the
// driver's hold ends here. A driver who took the trip is bound to it first: the
// trip's event, which does the same, may come later, or only after the one that
// frees the driver again.
func (s *search) ask(ctx context.Context, pair Pair) ending {
	o := s.offerTo(pair)
	if err := s.d.cfg.Drivers.Reserve(o.Driver, o.ID); err != nil {
		// another search was faster: look again, but do not spin
		return s.await(ctx, s.hunt.Rules().RetryEvery/20, nil)
	}

	s.d.holds(o.Driver, s)
	end := s.offer(ctx, o)
	s.d.lets(o.Driver, s)
	if end == won && s.ended.State.Active() {
		s.d.cfg.Drivers.Assign(o.Driver, s.trip.ID, sharedstate.Reserved)
	}
	s.d.cfg.Drivers.Release(o.Driver, o.ID)
	return end
}

func (s *search) offerTo(pair Pair) Offer {
	return Offer{ID: uuid.NewString(), Trip: s.trip, Driver: pair.Driver.ID, Node: s.d.cfg.Node, Epoch: s.d.cfg.Epoch,
		ExpiresAt: s.d.cfg.Now().Add(s.hunt.Rules().OfferFor), Metres: pair.Driver.Metres, Pickup: pair.Pickup}
}

func (s *search) offer(ctx context.Context, o Offer) ending {
	count := s.d.m.offers.WithLabelValues
	asked := s.d.cfg.Now()
	sendCtx, cancel := context.WithDeadline(ctx, o.ExpiresAt)
	err := s.d.cfg.Courier.Offer(sendCtx, o)
	cancel()
	if err != nil && ctx.Err() == nil {
		count("unreachable").Inc()
		s.hunt.Silent(o.Driver, asked)
		return vanished
	}
	s.hunt.Offers++
	count("made").Inc()
	end := s.await(ctx, o.ExpiresAt.Sub(s.d.cfg.Now()), &o)
	if end == waited {
		// silence, or an answer whose news got lost: the store knows
		end = s.reread(ctx, &o)
	}

	switch end {
	case won:
		count("accepted").Inc()
	case refused:
		count("declined").Inc()
		s.hunt.Declined(o.Driver)
	case vanished:
		count("driver_gone").Inc()
		s.hunt.Silent(o.Driver, asked)
		s.withdraw(ctx, o, GoneWithdrawn)
	case waited:
		count("expired").Inc()
		s.hunt.Silent(o.Driver, s.d.cfg.Now())
		s.withdraw(ctx, o, GoneExpired)
	case over:
		count("withdrawn").Inc()
		s.withdraw(ctx, o, s.whyOver())
	case stopped:
		count("withdrawn").Inc()
		s.withdraw(ctx, o, GoneWithdrawn)
	}
	return end
}

// withdraw tells the driver even when the search itself has been stopped.
func (s *search) withdraw(ctx context.Context, o Offer, reason string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.d.cfg.Courier.Withdraw(ctx, o, reason)
}

// giveUp expires the trip, unless a driver took it or the rider left it at the
// last moment. When the store cannot be written the search ends all the same,
// and the scan begins another.
func (s *search) giveUp(ctx context.Context, reason string) ending {
	by := trips.System(s.d.cfg.Node)
	key := trips.Key{Actor: by, ID: "expire-" + string(s.trip.ID), Print: "expire"}
	moveCtx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()

	_, err := s.d.cfg.Desk.Move(moveCtx, key, s.trip.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Expire(by, reason, at)
	})
	switch {
	case err == nil:
		return gaveUp
	case errors.Is(err, trips.ErrBadMove), errors.Is(err, trips.ErrNotFound):
		return over
	case ctx.Err() != nil:
		return stopped
	}

	s.d.cfg.Log.Warn("an open trip cannot be expired; trying again", "trip", s.trip.ID, "err", err)
	return stopped
}
