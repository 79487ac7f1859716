package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// ride is one trip from the request to its end.
type ride struct {
	demand  rideDemand
	trip    trips.Trip
	owner   *owner // dispatches it
	hunt    *dispatch.SearchState
	route   routing.Route // from pickup to dropoff
	offered *car          // with the offer in hand; nil: none is out
	hold    string        // of that offer
	// waitsSince is when it began to wait without an offer.
	waitsSince time.Time
}

func (r *ride) isOpen() bool { return r.trip.State == trips.Requested }

// requestRide lets a person look at the price, and request a ride if it is not
// too high.
func (w *world) requestRide(demand rideDemand) {
	w.riders++
	w.stats.wishes++
	w.pickups = append(w.pickups, demand.from)
	price := pricing.NoSurge
	if w.cfg.Surge {
		price = w.surge.MultiplierAt(demand.from)
	}
	if w.stats.countPrice(price); price > demand.maxPrice {
		w.stats.pricedOut++
		return
	}

	way, err := w.router.Route(w.ctx, demand.from, demand.to)
	if err != nil {
		w.stats.noWay++
		return
	}

	quote := trips.Quote{Metres: way.Metres, Duration: way.Duration, Source: way.Source,
		Fare: pricing.Fare(trips.DefaultTariff, way.Metres, way.Duration, price)}
	id := trips.TripID(fmt.Sprintf("t%08d", w.riders))

	r := &ride{demand: demand, route: way}
	r.trip = w.requireLegal(trips.Request(id, trips.RiderID(fmt.Sprintf("r%08d", w.riders)), demand.from, demand.to, quote, w.now))
	r.owner, r.waitsSince = w.ownerOf(r.trip.Region), w.now
	r.hunt = dispatch.NewSearchState(r.trip, w.policy, w.cfg.Rules)
	w.stats.requests++
	w.scheduleIn(demand.patience, func() { w.endPatience(r) })
	w.compareNearest(demand.from)
	w.lookForDriver(r)
}

func (w *world) ownerOf(region location.Region) *owner {
	if len(w.owners) == 1 {
		return w.owners[0]
	}
	return w.owners[w.cfg.OwnerOf(region, len(w.owners))]
}

// compareNearest counts whether the free driver nearest by air is also the
// first by road. No decision depends on it.
func (w *world) compareNearest(pickup location.Point) {
	near := w.drivers.Nearest(pickup, compareCount, compareRadius, nil)
	if len(near) < 2 {
		return
	}

	from := make([]location.Point, len(near))
	for i, n := range near {
		from[i] = n.Fix.Point
	}

	times, err := w.router.Times(w.ctx, from, pickup)
	if err != nil {
		return
	}

	w.stats.compared++
	if detour := times[0] - slices.Min(times); detour > 0 {
		w.stats.detours = append(w.stats.detours, detour)
	}
}

const (
	compareCount  = 20
	compareRadius = 12_000 // metres
)

// endPatience cancels a ride whose car is not there yet.
func (w *world) endPatience(r *ride) {
	switch r.trip.State {
	case trips.Requested:
		r.trip = w.requireLegal(r.trip.Cancel(trips.Rider(r.trip.Rider), "no car came", w.now))
		w.stats.cancelled++
		if c := r.offered; c != nil { // the offer is withdrawn
			w.withdrawOffer(r)
			w.continueIdle(c)
		}
	case trips.Reserved:
		c := w.cars[r.trip.Driver]
		r.trip = w.requireLegal(r.trip.Cancel(trips.Rider(r.trip.Rider), "the car takes too long", w.now))
		w.stats.cancelled++
		w.stopCar(c)
		w.releaseDriver(c, r)
	}
}

// lookForDriver searches at once if the policy has no window; otherwise the
// trip waits until the window closes.
func (w *world) lookForDriver(r *ride) {
	if w.policy.Window == 0 {
		w.matchAlone(r)
		return
	}
	o := r.owner
	if o.waiting = append(o.waiting, r); len(o.waiting) == 1 {
		w.agenda.schedule(w.policy.CloseTime(w.now, o.windowClosedAt), o.matchWindow)
	}
}

func (w *world) matchAlone(r *ride) {
	if !r.isOpen() {
		return
	}
	ask, ok := r.hunt.FindCandidates(r.owner, w.policy.MinCandidates(), w.now)
	if ok {
		w.stats.countWindow(1)
		for _, p := range w.policy.Matcher.MatchWindow(w.ctx, []dispatch.Candidates{ask}) {
			w.sendOffer(r, p)
			return
		}
	}

	if !w.expireIfExhausted(r) {
		w.scheduleIn(r.hunt.Rules().RetryEvery, func() { w.matchAlone(r) })
	}
}

// matchWindow matches the trips of the owner's window with drivers.
func (o *owner) matchWindow() {
	w, guests := o.world, o.waiting
	o.waiting, o.windowClosedAt = nil, w.now

	var window []dispatch.Candidates
	of := map[trips.TripID]*ride{}
	for _, r := range guests {
		if !r.isOpen() {
			continue
		}
		of[r.trip.ID] = r
		if ask, ok := r.hunt.FindCandidates(r.owner, w.policy.MinCandidates(), w.now); ok {
			window = append(window, ask)
		}
	}

	if len(window) > 0 {
		w.stats.countWindow(len(window))
		window = append(window, dispatch.FindRivals(o, o.listWaitingElsewhere(), w.policy, w.cfg.Rules, w.now)...)
		for _, p := range w.policy.Matcher.MatchWindow(w.ctx, window) {
			if r, ok := of[p.Trip]; ok { // else it is a rival's
				w.sendOffer(r, p)
				delete(of, p.Trip)
			}
		}
	}

	for _, r := range guests {
		// The order is that of arrival, because a map has none.
		if _, left := of[r.trip.ID]; left && !w.expireIfExhausted(r) {
			w.lookForDriver(r)
		}
	}
}

// expireIfExhausted expires a trip whose search has taken too long or too many
// offers, and says whether it did.
func (w *world) expireIfExhausted(r *ride) bool {
	reason, yes := r.hunt.Exhausted(w.now)
	if yes {
		r.trip = w.requireLegal(r.trip.Expire(trips.System("virtual"), reason, w.now))
		w.stats.expired++
	}
	return yes
}

// sendOffer offers a trip to a driver. The answer comes after a moment, or
// never.
func (w *world) sendOffer(r *ride, p dispatch.Assignment) {
	c := w.cars[p.Driver.ID]
	hold := fmt.Sprintf("%s-%d", r.trip.ID, r.hunt.OffersMade)
	if w.drivers.Reserve(c.id, hold) != nil {
		w.stats.refused++
		w.scheduleIn(r.hunt.Rules().RetryEvery/20, func() { w.continueSearch(r) })
		return
	}

	r.hunt.OffersMade++
	r.offered, r.hold, c.busy = c, hold, true
	w.changeHold(c, r.owner)
	w.stats.offers++
	r.owner.offers++

	answer, after := w.decide(c, r, p.PickupTime)
	if answer == answerSilence {
		after = r.hunt.Rules().OfferTimeout
	}

	w.scheduleIn(after, func() {
		if r.hold == hold { // else it was withdrawn
			w.handleAnswer(r, c, answer)
		}
	})
}

func (w *world) handleAnswer(r *ride, c *car, answer offerAnswer) {
	if answer == answerAccept {
		w.acceptOffer(r, c)
		return
	}
	w.withdrawOffer(r)

	switch answer {
	case answerDecline:
		w.stats.declined++
		r.hunt.MarkDeclined(c.id)
	case answerSilence:
		r.hunt.MarkSilent(c.id, w.now)
	}

	w.continueIdle(c)
	w.continueSearch(r)
}

// withdrawOffer releases the driver who has the trip's offer.
func (w *world) withdrawOffer(r *ride) {
	w.drivers.Release(r.offered.id, r.hold)
	r.offered.busy = false
	r.offered, r.hold = nil, ""
}

// continueIdle lets a driver without an offer go on as before it: drive on,
// wait, or end the shift.
func (w *world) continueIdle(c *car) {
	w.changeHold(c, c.hold.by)
	if w.endShift(c); c.onShift && c.route == nil {
		w.awaitWork(c)
	}
}

// continueSearch searches on for a trip that has no driver yet.
func (w *world) continueSearch(r *ride) {
	r.waitsSince = w.now
	if r.isOpen() && !w.expireIfExhausted(r) {
		w.lookForDriver(r)
	}
}

func (w *world) acceptOffer(r *ride, c *car) {
	r.trip = w.requireLegal(r.trip.Reserve(c.id, w.now))
	w.drivers.Assign(c.id, r.trip.ID, sharedstate.Reserved)
	w.withdrawOffer(r)
	w.stopCar(c)
	c.busy = true
	w.stats.countReserved(w.now.Sub(r.trip.RequestedAt))

	way, err := w.router.Route(w.ctx, c.at, r.trip.Pickup)
	if err != nil {
		w.failed = err
		return
	}

	c.taskSeq++
	c.route, c.departedAt = &way, w.now

	mine := c.taskSeq
	w.scheduleIn(way.Duration, func() {
		if c.taskSeq == mine {
			w.arriveAtPickup(r, c)
		}
	})
}

const boarding = 40 * time.Second

func (w *world) arriveAtPickup(r *ride, c *car) {
	w.stopCar(c)
	mine := c.taskSeq
	r.trip = w.requireLegal(r.trip.Arrive(trips.Driver(c.id), w.now))
	w.stats.waits = append(w.stats.waits, w.now.Sub(r.trip.RequestedAt))

	w.scheduleIn(boarding, func() {
		if c.taskSeq != mine {
			return
		}
		r.trip = w.requireLegal(r.trip.Start(trips.Driver(c.id), w.now))
		w.drivers.Assign(c.id, r.trip.ID, sharedstate.OnTrip)
		w.scheduleIn(r.route.Duration, func() { w.completeTrip(r, c) })
	})
}

func (w *world) completeTrip(r *ride, c *car) {
	r.trip = w.requireLegal(r.trip.Complete(trips.Driver(c.id), w.now))
	w.stats.completed++
	w.stats.revenue += r.trip.Quote.Fare.Minor
	w.stats.loaded += r.route.Metres
	c.loadedTime += r.route.Duration
	c.at = r.trip.Dropoff
	c.taskSeq++
	w.reportPosition(c)
	w.releaseDriver(c, r)
}

// releaseDriver makes a driver available after a trip.
func (w *world) releaseDriver(c *car, r *ride) {
	c.busy = false
	w.drivers.ClearTrip(c.id, r.trip.ID)
	w.changeHold(c, nil)
	if w.endShift(c); c.onShift {
		w.awaitWork(c)
	}
}
