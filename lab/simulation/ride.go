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
	hunt    *dispatch.Hunt
	route   routing.Route // from pickup to dropoff
	offered *car          // with the offer in hand; nil: none is out
	hold    string        // of that offer
}

func (r *ride) isOpen() bool { return r.trip.State == trips.Requested }

// requestRide is what somebody does who wants a ride: look at the price, and
// ask for a car or walk.
func (w *world) requestRide(wish rideDemand) {
	w.riders++
	w.stats.wishes++
	w.pickups = append(w.pickups, wish.from)
	price := pricing.Plain
	if w.cfg.Surge {
		price = w.surge.At(wish.from)
	}
	if w.stats.countPrice(price); price > wish.maxPrice {
		w.stats.pricedOut++
		return
	}

	way, err := w.router.Route(w.ctx, wish.from, wish.to)
	if err != nil {
		w.stats.noWay++
		return
	}

	quote := trips.Quote{Metres: way.Metres, Duration: way.Duration, Source: way.Source,
		Fare: pricing.Fare(trips.DefaultTariff, way.Metres, way.Duration, price)}
	id := trips.TripID(fmt.Sprintf("t%08d", w.riders))

	r := &ride{demand: wish, route: way}
	r.trip = w.requireLegal(trips.Request(id, trips.RiderID(fmt.Sprintf("r%08d", w.riders)), wish.from, wish.to, quote, w.now))
	r.hunt = dispatch.NewHunt(r.trip, w.policy, w.cfg.Rules)
	w.stats.requests++
	w.scheduleIn(wish.patience, func() { w.endPatience(r) })
	w.compareNearest(wish.from)
	w.lookForDriver(r)
}

// compareNearest notes whether the free driver nearest by air is the first by
// road. It decides nothing.
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

// endPatience is a rider whose car should be there by now.
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

// lookForDriver has the policy look for a driver: at once and alone, or when
// the window closes.
func (w *world) lookForDriver(r *ride) {
	if w.policy.Window == 0 {
		w.matchAlone(r)
		return
	}
	if w.waiting = append(w.waiting, r); len(w.waiting) == 1 {
		w.agenda.schedule(w.policy.Closes(w.now, w.windowClosedAt), w.matchWindow)
	}
}

func (w *world) matchAlone(r *ride) {
	if !r.isOpen() {
		return
	}
	ask, ok := r.hunt.Ask(w.drivers, w.policy.Enough(), w.now)
	if ok {
		w.stats.countWindow(1)
		for _, p := range w.policy.Picker.Pick(w.ctx, []dispatch.Ask{ask}) {
			w.sendOffer(r, p)
			return
		}
	}

	if !w.expireIfExhausted(r) {
		w.scheduleIn(r.hunt.Rules().RetryEvery, func() { w.matchAlone(r) })
	}
}

// matchWindow matches a window.
func (w *world) matchWindow() {
	guests := w.waiting
	w.waiting, w.windowClosedAt = nil, w.now

	var window []dispatch.Ask
	of := map[trips.TripID]*ride{}
	for _, r := range guests {
		if !r.isOpen() {
			continue
		}
		of[r.trip.ID] = r
		if ask, ok := r.hunt.Ask(w.drivers, w.policy.Enough(), w.now); ok {
			window = append(window, ask)
		}
	}

	if len(window) > 0 {
		w.stats.countWindow(len(window))
		for _, p := range w.policy.Picker.Pick(w.ctx, window) {
			w.sendOffer(of[p.Trip], p)
			delete(of, p.Trip)
		}
	}

	for _, r := range guests {
		// in the order in which they came, never in that of the map
		if _, left := of[r.trip.ID]; left && !w.expireIfExhausted(r) {
			w.lookForDriver(r)
		}
	}
}

// expireIfExhausted expires a trip that has waited, or been offered, long
// enough.
func (w *world) expireIfExhausted(r *ride) bool {
	reason, yes := r.hunt.Exhausted(w.now)
	if yes {
		r.trip = w.requireLegal(r.trip.Expire(trips.System("virtual"), reason, w.now))
		w.stats.expired++
	}
	return yes
}

// sendOffer asks a driver, who takes a moment to answer, or never does.
func (w *world) sendOffer(r *ride, p dispatch.Pair) {
	c := w.cars[p.Driver.ID]
	hold := fmt.Sprintf("%s-%d", r.trip.ID, r.hunt.Offers)
	if w.drivers.Reserve(c.id, hold) != nil {
		w.scheduleIn(r.hunt.Rules().RetryEvery/20, func() { w.continueSearch(r) })
		return
	}

	r.hunt.Offers++
	r.offered, r.hold, c.busy = c, hold, true
	w.stats.offers++

	answer, after := w.decide(c, r, p.Pickup)
	if answer == answerSilence {
		after = r.hunt.Rules().OfferFor
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
		r.hunt.Declined(c.id)
	case answerSilence:
		r.hunt.Silent(c.id, w.now)
	}

	w.continueIdle(c)
	w.continueSearch(r)
}

// withdrawOffer ends the offer in hand.
func (w *world) withdrawOffer(r *ride) {
	w.drivers.Release(r.offered.id, r.hold)
	r.offered.busy = false
	r.offered, r.hold = nil, ""
}

// continueIdle is a driver whose offer ended in nothing, who goes on with what
// there was before it.
func (w *world) continueIdle(c *car) {
	if w.endShift(c); c.onShift && c.route == nil {
		w.awaitWork(c)
	}
}

// continueSearch looks on for a trip that still has nobody.
func (w *world) continueSearch(r *ride) {
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

// releaseDriver gives a driver back to the city.
func (w *world) releaseDriver(c *car, r *ride) {
	c.busy = false
	w.drivers.Free(c.id, r.trip.ID)
	if w.endShift(c); c.onShift {
		w.awaitWork(c)
	}
}
