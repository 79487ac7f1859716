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
	waited   ending = "waited" // nothing came: the offer expired, or it is time to try again
	won      ending = "accepted"
	over     ending = "over" // someone else has the trip, or it ended
	refused  ending = "declined"
	vanished ending = "driver_gone"
	stopped  ending = "stopped"
	gaveUp   ending = "gave_up"
)

// final says whether the search has nothing more to do.
func (e ending) final() bool { return e == won || e == over || e == stopped || e == gaveUp }

// search looks for a driver for one trip. It belongs to one goroutine; others only tell and stop it.
type search struct {
	d    *Dispatcher
	trip trips.Trip // as it was when the search began; never changes
	stop context.CancelFunc
	news chan news

	// Only the search's goroutine touches these.
	began    time.Time
	offers   int
	ended    trips.Trip                   // where the trip stood when the search was won or over
	notUntil map[trips.DriverID]time.Time // drivers not to ask before a time; zero means never again
}

func newSearch(d *Dispatcher, t trips.Trip, stop context.CancelFunc) *search {
	return &search{d: d, trip: t, stop: stop, news: make(chan news, 8),
		began: d.cfg.Now(), notUntil: map[trips.DriverID]time.Time{}}
}

// tell never blocks: news that finds no room is healed by the next scan or the offer's expiry.
func (s *search) tell(n news) {
	select {
	case s.news <- n:
	default:
		s.d.m.dropped.WithLabelValues("news_full").Inc()
	}
}

// run asks one driver after the other. It looks at least once before it gives up, so that a trip that grew old while
// every node was down still gets its chance.
func (s *search) run(ctx context.Context) {
	end := waited
	for !end.final() {
		pair, found := s.choose(ctx)
		if found {
			end = s.ask(ctx, pair)
		}
		switch {
		case end.final():
		case s.exhausted():
			end = s.giveUp(ctx)
		case !found:
			end = s.await(ctx, s.d.cfg.RetryEvery, nil)
		}
	}
	now := s.d.cfg.Now()
	s.d.m.searches.WithLabelValues(string(end)).Observe(now.Sub(s.began).Seconds())
	if end == won {
		s.d.m.toReserve.Observe(now.Sub(s.trip.RequestedAt).Seconds())
	}
}

// choose holds the driver the picker wants most, from the smallest circle that has one.
func (s *search) choose(ctx context.Context) (Pair, bool) {
	for _, radius := range s.d.cfg.Radii {
		near := s.near(radius)
		if len(near) == 0 {
			continue
		}
		pairs := s.d.cfg.Picker.Pick(ctx, []Ask{{Trip: s.trip, Near: near}})
		if len(pairs) == 1 && pairs[0].Trip == s.trip.ID {
			return pairs[0], true
		}
		return Pair{}, false
	}
	return Pair{}, false
}

func (s *search) near(radius float64) []sharedstate.Near {
	now, k := s.d.cfg.Now(), s.d.cfg.Candidates
	near := s.d.cfg.Drivers.Nearest(s.trip.Pickup, k+len(s.notUntil), radius, nil)
	fresh := near[:0]
	for _, n := range near {
		until, asked := s.notUntil[n.ID]
		if !asked || (!until.IsZero() && !now.Before(until)) {
			fresh = append(fresh, n)
		}
	}
	return fresh[:min(k, len(fresh))]
}

// ask makes the offer and waits for what becomes of it. Whatever that is, the driver's hold ends here. A driver who took
// the trip is bound to it first: the trip's event, which does the same, may come later, or only after the one that frees
// the driver again.
func (s *search) ask(ctx context.Context, pair Pair) ending {
	o := s.offerTo(pair)
	if err := s.d.cfg.Drivers.Reserve(o.Driver, o.ID); err != nil {
		return s.await(ctx, s.d.cfg.RetryEvery/20, nil) // another search was faster: look again, but do not spin
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
		ExpiresAt: s.d.cfg.Now().Add(s.d.cfg.OfferFor), Metres: pair.Driver.Metres, Pickup: pair.Pickup}
}

func (s *search) offer(ctx context.Context, o Offer) ending {
	count := s.d.m.offers.WithLabelValues
	askAgain := s.d.cfg.Now().Add(s.d.cfg.AskAgain)
	sendCtx, cancel := context.WithDeadline(ctx, o.ExpiresAt)
	err := s.d.cfg.Courier.Offer(sendCtx, o)
	cancel()
	if err != nil && ctx.Err() == nil {
		count("unreachable").Inc()
		s.notUntil[o.Driver] = askAgain
		return vanished
	}
	s.offers++
	count("made").Inc()
	end := s.await(ctx, o.ExpiresAt.Sub(s.d.cfg.Now()), &o)
	if end == waited { // silence, or an answer whose news got lost: the store knows
		end = s.reread(ctx, &o)
	}
	switch end {
	case won:
		count("accepted").Inc()
	case refused:
		count("declined").Inc()
		s.notUntil[o.Driver] = time.Time{}
	case vanished:
		count("driver_gone").Inc()
		s.notUntil[o.Driver] = askAgain
		s.withdraw(ctx, o, GoneWithdrawn)
	case waited:
		count("expired").Inc()
		s.notUntil[o.Driver] = s.d.cfg.Now().Add(s.d.cfg.AskAgain)
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

// exhausted says whether the trip has waited, or been offered, long enough.
func (s *search) exhausted() bool {
	return s.offers >= s.d.cfg.MaxOffers || s.d.cfg.Now().Sub(s.trip.RequestedAt) >= s.d.cfg.GiveUpAfter
}

// giveUp expires the trip, unless a driver took it or the rider left it at the last moment. When the store cannot be
// written the search ends all the same, and the scan begins another.
func (s *search) giveUp(ctx context.Context) ending {
	reason := ReasonNobodyNear
	if s.offers > 0 {
		reason = ReasonNobodyAccepts
	}
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
