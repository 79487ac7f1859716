package simulation

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// ride is one trip from the request to its end.
type ride struct {
	wish   wish
	trip   trips.Trip
	hunt   *dispatch.Hunt
	way    routing.Route // from pickup to dropoff
	offers int           // made so far; an answer to an older one is void
	out    bool          // an offer is in somebody's hands
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
	w.look(r)
}

// impatient is a rider whose car should be there by now.
func (w *world) impatient(r *ride) {
	switch r.trip.State {
	case trips.Requested:
		r.trip = w.must(r.trip.Cancel(trips.Rider(r.trip.Rider), "no car came", w.now))
		w.stats.cancelled++
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
	hold := fmt.Sprintf("%s-%d", r.trip.ID, r.offers)
	if w.drivers.Reserve(c.id, hold) != nil {
		w.in(r.hunt.Rules().RetryEvery/20, func() { w.again(r) })
		return
	}
	r.offers++
	r.hunt.Offers++
	r.out, c.busy = true, true
	w.stats.offers++
	answer, after := temper(w.cfg.Seed, c.id, r.trip.ID, p.Pickup)
	if answer == silent {
		after = r.hunt.Rules().OfferFor
	}
	w.in(after, func() {
		r.out, c.busy = false, false
		if answer == accepts && r.open() {
			w.accepted(r, c, hold)
			return
		}
		w.drivers.Release(c.id, hold)
		switch answer {
		case declines:
			w.stats.declined++
			r.hunt.Declined(c.id)
		case silent:
			r.hunt.Silent(c.id, w.now)
		}
		if w.goHome(c); c.on && c.way == nil {
			w.rests(c)
		}
		w.again(r)
	})
}

// again looks on for a trip that still has nobody.
func (w *world) again(r *ride) {
	if r.open() && !w.givesUp(r) {
		w.look(r)
	}
}

func (w *world) accepted(r *ride, c *car, hold string) {
	r.trip = w.must(r.trip.Reserve(c.id, w.now))
	w.drivers.Assign(c.id, r.trip.ID, sharedstate.Reserved)
	w.drivers.Release(c.id, hold)
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
