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
	wish  wish
	trip  trips.Trip
	hunt  *dispatch.Hunt
	way   routing.Route // from pickup to dropoff
	asked *car          // with the offer in hand; nil: none is out
	hold  string        // of that offer
}

func (r *ride) open() bool { return r.trip.State == trips.Requested }

// request is what somebody does who wants a ride: look at the price, and ask for a car or walk.
func (w *world) request(wish wish) {
	w.riders++
	w.stats.wishes++
	w.asked = append(w.asked, wish.from)
	price := pricing.Plain
	if w.cfg.Surge {
		price = w.surge.At(wish.from)
	}
	if w.stats.priced(price); price > wish.limit {
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
	r := &ride{wish: wish, way: way}
	r.trip = w.must(trips.Request(id, trips.RiderID(fmt.Sprintf("r%08d", w.riders)), wish.from, wish.to, quote, w.now))
	r.hunt = dispatch.NewHunt(r.trip, w.policy, w.cfg.Rules)
	w.stats.requests++
	w.in(wish.patience, func() { w.impatient(r) })
	w.compare(wish.from)
	w.look(r)
}

// compare notes whether the free driver nearest by air is the first by road. It decides nothing.
func (w *world) compare(pickup location.Point) {
	near := w.drivers.Nearest(pickup, compared, farthest, nil)
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
	compared = 20
	farthest = 12_000 // metres
)

// impatient is a rider whose car should be there by now.
func (w *world) impatient(r *ride) {
	switch r.trip.State {
	case trips.Requested:
		r.trip = w.must(r.trip.Cancel(trips.Rider(r.trip.Rider), "no car came", w.now))
		w.stats.cancelled++
		if c := r.asked; c != nil { // the offer is withdrawn
			w.takeBack(r)
			w.unasked(c)
		}
	case trips.Reserved:
		c := w.cars[r.trip.Driver]
		r.trip = w.must(r.trip.Cancel(trips.Rider(r.trip.Rider), "the car takes too long", w.now))
		w.stats.cancelled++
		w.park(c)
		w.free(c, r)
	}
}

// look has the policy look for a driver: at once and alone, or when the window closes.
func (w *world) look(r *ride) {
	if w.policy.Window == 0 {
		w.alone(r)
		return
	}
	if w.window = append(w.window, r); len(w.window) == 1 {
		w.agenda.plan(w.policy.Closes(w.now, w.closed), w.close)
	}
}

func (w *world) alone(r *ride) {
	if !r.open() {
		return
	}
	ask, ok := r.hunt.Ask(w.drivers, w.policy.Enough(), w.now)
	if ok {
		w.stats.windows(1)
		for _, p := range w.policy.Picker.Pick(w.ctx, []dispatch.Ask{ask}) {
			w.offer(r, p)
			return
		}
	}
	if !w.givesUp(r) {
		w.in(r.hunt.Rules().RetryEvery, func() { w.alone(r) })
	}
}

// close matches a window.
func (w *world) close() {
	guests := w.window
	w.window, w.closed = nil, w.now
	var window []dispatch.Ask
	of := map[trips.TripID]*ride{}
	for _, r := range guests {
		if !r.open() {
			continue
		}
		of[r.trip.ID] = r
		if ask, ok := r.hunt.Ask(w.drivers, w.policy.Enough(), w.now); ok {
			window = append(window, ask)
		}
	}
	if len(window) > 0 {
		w.stats.windows(len(window))
		for _, p := range w.policy.Picker.Pick(w.ctx, window) {
			w.offer(of[p.Trip], p)
			delete(of, p.Trip)
		}
	}
	for _, r := range guests { // in the order in which they came, never in that of the map
		if _, left := of[r.trip.ID]; left && !w.givesUp(r) {
			w.look(r)
		}
	}
}

// givesUp expires a trip that has waited, or been offered, long enough.
func (w *world) givesUp(r *ride) bool {
	reason, yes := r.hunt.Exhausted(w.now)
	if yes {
		r.trip = w.must(r.trip.Expire(trips.System("virtual"), reason, w.now))
		w.stats.expired++
	}
	return yes
}

// offer asks a driver, who takes a moment to answer, or never does.
func (w *world) offer(r *ride, p dispatch.Pair) {
	c := w.cars[p.Driver.ID]
	hold := fmt.Sprintf("%s-%d", r.trip.ID, r.hunt.Offers)
	if w.drivers.Reserve(c.id, hold) != nil {
		w.in(r.hunt.Rules().RetryEvery/20, func() { w.again(r) })
		return
	}
	r.hunt.Offers++
	r.asked, r.hold, c.busy = c, hold, true
	w.stats.offers++
	answer, after := w.temper(c, r, p.Pickup)
	if answer == silent {
		after = r.hunt.Rules().OfferFor
	}
	w.in(after, func() {
		if r.hold == hold { // else it was withdrawn
			w.answered(r, c, answer)
		}
	})
}

func (w *world) answered(r *ride, c *car, answer reply) {
	if answer == accepts {
		w.accepted(r, c)
		return
	}
	w.takeBack(r)
	switch answer {
	case declines:
		w.stats.declined++
		r.hunt.Declined(c.id)
	case silent:
		r.hunt.Silent(c.id, w.now)
	}
	w.unasked(c)
	w.again(r)
}

// takeBack ends the offer in hand.
func (w *world) takeBack(r *ride) {
	w.drivers.Release(r.asked.id, r.hold)
	r.asked.busy = false
	r.asked, r.hold = nil, ""
}

// unasked is a driver whose offer ended in nothing, who goes on with what there was before it.
func (w *world) unasked(c *car) {
	if w.goHome(c); c.on && c.way == nil {
		w.rests(c)
	}
}

// again looks on for a trip that still has nobody.
func (w *world) again(r *ride) {
	if r.open() && !w.givesUp(r) {
		w.look(r)
	}
}

func (w *world) accepted(r *ride, c *car) {
	r.trip = w.must(r.trip.Reserve(c.id, w.now))
	w.drivers.Assign(c.id, r.trip.ID, sharedstate.Reserved)
	w.takeBack(r)
	w.park(c)
	c.busy = true
	w.stats.reserved(w.now.Sub(r.trip.RequestedAt))
	way, err := w.router.Route(w.ctx, c.at, r.trip.Pickup)
	if err != nil {
		w.failed = err
		return
	}
	c.errand++
	c.way, c.left = &way, w.now
	mine := c.errand
	w.in(way.Duration, func() {
		if c.errand == mine {
			w.arrived(r, c)
		}
	})
}

const boarding = 40 * time.Second

func (w *world) arrived(r *ride, c *car) {
	w.park(c)
	mine := c.errand
	r.trip = w.must(r.trip.Arrive(trips.Driver(c.id), w.now))
	w.stats.waits = append(w.stats.waits, w.now.Sub(r.trip.RequestedAt))
	w.in(boarding, func() {
		if c.errand != mine {
			return
		}
		r.trip = w.must(r.trip.Start(trips.Driver(c.id), w.now))
		w.drivers.Assign(c.id, r.trip.ID, sharedstate.OnTrip)
		w.in(r.way.Duration, func() { w.completed(r, c) })
	})
}

func (w *world) completed(r *ride, c *car) {
	r.trip = w.must(r.trip.Complete(trips.Driver(c.id), w.now))
	w.stats.completed++
	w.stats.revenue += r.trip.Quote.Fare.Minor
	w.stats.loaded += r.way.Metres
	c.withLoad += r.way.Duration
	c.at = r.trip.Dropoff
	c.errand++
	w.show(c)
	w.free(c, r)
}

// free gives a driver back to the city.
func (w *world) free(c *car, r *ride) {
	c.busy = false
	w.drivers.Free(c.id, r.trip.ID)
	if w.goHome(c); c.on {
		w.rests(c)
	}
}
