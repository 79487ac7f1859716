package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// signalKind is the kind of a signal.
type signalKind int

const (
	tripChanged   signalKind = iota // The trip has a new state.
	tripUncertain                   // Read the trip from the store again.
	offerDeclined                   // The driver does not want the offer.
	driverGone                      // The driver's phone is gone.
	driverBusy                      // The driver's node says ErrBusy.
)

// signal is what other goroutines tell a search.
type signal struct {
	kind    signalKind
	trip    trips.Trip     // Of tripChanged.
	driver  trips.DriverID // Of offerDeclined, driverGone and driverBusy.
	offerID string         // Of offerDeclined and driverBusy.
	sentAt  time.Time      // Zero if the trip is not sampled.
}

// outcome is how a step of a search, or the whole search, ended. Its values are
// labels of metrics.
type outcome string

const (
	// outcomeNone means that nothing happened: the offer expired, or it is time
	// to try again.
	outcomeNone       outcome = "waited"
	outcomeAccepted   outcome = "accepted"
	outcomeClosed     outcome = "over" // Another driver has it, or it ended.
	outcomeDeclined   outcome = "declined"
	outcomeDriverGone outcome = "driver_gone"
	outcomeDriverBusy outcome = "driver_busy"
	outcomeStopped    outcome = "stopped"
	outcomeGaveUp     outcome = "gave_up"
)

// isFinal reports whether the search has nothing more to do.
func (e outcome) isFinal() bool {
	return e == outcomeAccepted || e == outcomeClosed || e == outcomeStopped || e == outcomeGaveUp
}

// search looks for a driver for one trip. It belongs to one goroutine. Others
// only notify and cancel it.
type search struct {
	// Fixed at creation.
	dispatcher *Dispatcher
	trip       trips.Trip // As it was when the search began.
	cancel     context.CancelFunc
	signals    chan signal

	// Owned by the search's goroutine, and by the window's while the search
	// waits in a window.
	state     *SearchState
	startedAt time.Time
	endedTrip trips.Trip // The trip's last state, once won or closed.
	hops      searchHops
}

// newSearch returns a search that cancel stops. It does nothing until run.
func newSearch(d *Dispatcher, t trips.Trip, cancel context.CancelFunc) *search {
	began := d.cfg.Now()
	return &search{dispatcher: d, trip: t, cancel: cancel, signals: make(chan signal, 8),
		state: NewSearchState(t, d.cfg.Policy, d.cfg.Rules), startedAt: began,
		hops: searchHops{isTraced: d.cfg.Tracer.Samples(string(t.ID)), waitsSince: began}}
}

// sendSignal passes a signal to the search. It never blocks. When the search
// has 8 signals waiting, it counts and drops the signal: the next scan, or the
// offer's expiry, makes up for it.
func (s *search) sendSignal(n signal) {
	n.sentAt = s.hopTime()
	select {
	case s.signals <- n:
	default:
		s.dispatcher.metrics.droppedSignals.WithLabelValues("news_full").Inc()
	}
}

// run asks one driver after the other. It looks for a driver at least once
// before it gives up, so that a trip that grew old while every node was down
// gets a chance. It returns how the search ended.
func (s *search) run(ctx context.Context) outcome {
	end := outcomeNone
	for !end.isFinal() {
		pair, found, ended := s.chooseDriver(ctx)
		switch {
		case ended.isFinal():
			end = ended
		case found:
			end = s.reserveAndOffer(ctx, pair)
		}

		if end.isFinal() {
			break
		}

		if reason, exhausted := s.state.Exhausted(s.dispatcher.cfg.Now()); exhausted {
			if !found {
				s.recordLastWait(s.hops)
			}
			end = s.expireTrip(ctx, reason)
		} else if !found {
			if end = s.awaitSignal(ctx, s.retryPause(), nil); end.isFinal() {
				s.recordLastWait(s.hops)
			}
		}
	}

	now := s.dispatcher.cfg.Now()
	s.dispatcher.metrics.searches.WithLabelValues(string(end)).Observe(now.Sub(s.startedAt).Seconds())
	if end == outcomeAccepted {
		s.dispatcher.metrics.toReserve.Observe(now.Sub(s.trip.RequestedAt).Seconds())
	}
	return end
}

// retryPause is how long the search rests after it found no driver. In windows
// it does not rest: the next window is the rest.
func (s *search) retryPause() time.Duration {
	if s.dispatcher.cfg.Policy.Window > 0 {
		return 0
	}
	return s.state.Rules().RetryEvery
}

// chooseDriver asks the policy for a driver. In windows it chooses for all
// waiting searches together, and a signal about the trip may end the wait
// earlier.
func (s *search) chooseDriver(ctx context.Context) (p Assignment, ok bool, end outcome) {
	policy := s.dispatcher.cfg.Policy
	if policy.Window > 0 {
		return s.dispatcher.windows.joinWindow(ctx, s)
	}

	r := s.dispatcher.beginRound(s)
	r.noteLookedAround(s.dispatcher.lookAround(ctx, []*SearchState{s.state}))
	ask, ok := s.state.FindCandidates(s.dispatcher.cfg.Drivers, policy.MinCandidates(), s.dispatcher.cfg.Now())
	r.noteCandidates(ask)

	if ok {
		pairs := policy.Matcher.MatchWindow(r.contextOf(ctx), []Candidates{ask})
		r.noteMatched()
		if ok = len(pairs) == 1 && pairs[0].Trip == s.trip.ID; ok {
			p = pairs[0]
		}
	}
	r.record(r.settle(map[trips.TripID]Assignment{p.Trip: p}))
	return p, ok, outcomeNone
}

// reserveAndOffer holds the driver, makes the offer and waits for the outcome.
// The hold ends here in every case. A driver who took the trip is first bound
// to it. The trip's event does the same, but it may come later, or only after
// the event that frees the driver again.
func (s *search) reserveAndOffer(ctx context.Context, pair Assignment) outcome {
	o, began := s.newOffer(pair), s.hopTime()
	err := s.dispatcher.cfg.Drivers.Reserve(o.Driver, o.ID)
	s.recordReserve(began, err)
	if err != nil {
		// Another search was faster: look again, but do not spin.
		return s.awaitSignal(ctx, s.state.Rules().RetryEvery/20, nil)
	}

	s.dispatcher.setHolder(o.Driver, s)
	end := s.sendOffer(ctx, o)
	s.dispatcher.clearHolder(o.Driver, s)
	if end == outcomeAccepted && s.endedTrip.State.IsActive() {
		s.dispatcher.cfg.Drivers.Assign(o.Driver, s.trip.ID, sharedstate.Reserved)
	}
	s.dispatcher.cfg.Drivers.Release(o.Driver, o.ID)

	return end
}

// newOffer returns an offer of the trip that expires after OfferTimeout.
func (s *search) newOffer(pair Assignment) Offer {
	return Offer{ID: uuid.NewString(), Trip: s.trip, Driver: pair.Driver.ID,
		Node: s.dispatcher.cfg.Node, Epoch: s.dispatcher.cfg.Epoch,
		ExpiresAt: s.dispatcher.cfg.Now().Add(s.state.Rules().OfferTimeout), Metres: pair.Driver.Metres, Pickup: pair.PickupTime,
		Nth: s.hops.offers + 1}
}

// sendOffer sends the offer, waits for the outcome, counts it, and withdraws
// the offer unless the driver answered.
func (s *search) sendOffer(ctx context.Context, o Offer) outcome {
	count := s.dispatcher.metrics.offers.WithLabelValues
	asked := s.dispatcher.cfg.Now()
	s.hops.offers++

	sendCtx, cancel := context.WithDeadline(ctx, o.ExpiresAt)
	err := s.dispatcher.cfg.Transport.SendOffer(sendCtx, o)
	cancel()
	if err != nil && ctx.Err() == nil {
		count("unreachable").Inc()
		s.state.MarkSilent(o.Driver, asked)
		s.recordOfferEnd(o, endUnreachable)
		return outcomeDriverGone
	}

	s.state.OffersMade++
	count("made").Inc()
	end := s.awaitSignal(ctx, o.ExpiresAt.Sub(s.dispatcher.cfg.Now()), &o)
	if end == outcomeNone {
		// The driver is silent, or the signal got lost: ask the store.
		end = s.readTripUntilKnown(ctx, &o)
	}
	s.recordOfferEnd(o, offerEnd(end))

	switch end {
	case outcomeAccepted:
		count("accepted").Inc()
	case outcomeDeclined:
		count("declined").Inc()
		s.state.MarkDeclined(o.Driver)
	case outcomeDriverBusy:
		count("driver_busy").Inc()
		s.state.OffersMade-- // The phone never had it.
		s.state.MarkBusy(o.Driver, s.dispatcher.cfg.Now())
	case outcomeDriverGone:
		count("driver_gone").Inc()
		s.state.MarkSilent(o.Driver, asked)
		s.withdrawOffer(ctx, o, GoneWithdrawn)
	case outcomeNone:
		count("expired").Inc()
		s.state.MarkSilent(o.Driver, s.dispatcher.cfg.Now())
		s.withdrawOffer(ctx, o, GoneExpired)
	case outcomeClosed:
		count("withdrawn").Inc()
		s.withdrawOffer(ctx, o, s.withdrawReason())
	case outcomeStopped:
		count("withdrawn").Inc()
		s.withdrawOffer(ctx, o, GoneWithdrawn)
	}

	return end
}

// withdrawOffer tells the driver, even after the search itself was cancelled.
// It waits for a second at most.
func (s *search) withdrawOffer(ctx context.Context, o Offer, reason string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.dispatcher.cfg.Transport.WithdrawOffer(ctx, o, reason)
}

// expireTrip expires the trip, unless a driver took it or the rider left it at
// the last moment. When the store cannot be written, the search ends all the
// same, and the next scan starts another.
func (s *search) expireTrip(ctx context.Context, reason string) outcome {
	by := trips.System(s.dispatcher.cfg.Node)
	key := trips.IdempotencyKey{Actor: by, ID: "expire-" + string(s.trip.ID), Fingerprint: "expire"}
	moveCtx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()

	_, err := s.dispatcher.cfg.Trips.Apply(moveCtx, key, s.trip.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Expire(by, reason, at)
	})
	switch {
	case err == nil:
		return outcomeGaveUp
	case errors.Is(err, trips.ErrBadMove), errors.Is(err, trips.ErrNotFound):
		return outcomeClosed
	case ctx.Err() != nil:
		return outcomeStopped
	}

	s.dispatcher.cfg.Log.Warn("an open trip cannot be expired; trying again", "trip", s.trip.ID, "err", err)
	return outcomeStopped
}
