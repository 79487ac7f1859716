package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// owner is a node that dispatches the trips of its regions, in windows of its
// own. It sees all cars around a pickup, as a node does that asks the owners
// around. What another owner does with a car it learns replicaLag later.
type owner struct {
	world          *world
	waiting        []*ride
	windowClosedAt time.Time // when the last window closed
	offers         int
}

// replicaLag is the time until other owners know that a car is held or free
// again: nodes tell each other five times a second, and a window takes a moment
// to ask and to match. The mean is less; so a result errs to the worse side.
const replicaLag = 250 * time.Millisecond

// hold is what the owners know of a car.
type hold struct {
	by    *owner // who changed it last; nil: no owner has
	since time.Time
}

// changeHold records that an owner has just held the car, or let go of it.
func (w *world) changeHold(c *car, by *owner) {
	c.hold = hold{by: by, since: w.now}
	if len(w.owners) == 1 {
		return
	}
	w.recent = slices.DeleteFunc(w.recent, func(c *car) bool { return w.now.Sub(c.hold.since) >= replicaLag })
	if !slices.Contains(w.recent, c) {
		w.recent = append(w.recent, c)
	}
}

// isNews reports whether the last change of a car is too young for this owner.
func (o *owner) isNews(c *car) bool {
	return c.hold.by != o && o.world.now.Sub(c.hold.since) < replicaLag
}

// Nearest returns the nearest drivers who are free as far as the owner knows:
// without those whom another owner has just let go, and with those whom another
// has just taken.
func (o *owner) Nearest(p location.Point, k int, maxMetres float64, dst []sharedstate.NearbyDriver) []sharedstate.NearbyDriver {
	w := o.world
	if len(w.owners) == 1 {
		return w.drivers.Nearest(p, k, maxMetres, dst)
	}

	from := len(dst)
	for _, n := range w.drivers.Nearest(p, k+len(w.recent), maxMetres, nil) {
		if !o.isNews(w.cars[n.ID]) {
			dst = append(dst, n)
		}
	}
	for _, c := range w.recent {
		if metres := location.MetresBetween(p, c.currentPoint(w.now)); c.busy && o.isNews(c) && metres <= maxMetres {
			if d, ok := w.drivers.Get(c.id); ok {
				dst = append(dst, sharedstate.NearbyDriver{Driver: d, Metres: metres})
			}
		}
	}

	near := dst[from:]
	slices.SortStableFunc(near, func(a, b sharedstate.NearbyDriver) int { return cmp.Compare(a.Metres, b.Metres) })
	return dst[:from+min(k, len(near))]
}

// compareOwners returns the offers of the owner that made most by those of the
// one that made least, or 0 when one made none.
func (w *world) compareOwners() float64 {
	byOffers := func(a, b *owner) int { return cmp.Compare(a.offers, b.offers) }
	least, most := slices.MinFunc(w.owners, byOffers).offers, slices.MaxFunc(w.owners, byOffers).offers
	if least == 0 {
		return 0
	}
	return float64(most) / float64(least)
}

// listWaitingElsewhere returns the trips that wait at other owners, as far as
// this owner knows of them.
func (o *owner) listWaitingElsewhere() (waiting []trips.Trip) {
	if o.world.cfg.Alone {
		return nil
	}
	for _, other := range o.world.owners {
		if other == o {
			continue
		}
		for _, r := range other.waiting {
			if r.isOpen() && o.world.now.Sub(r.waitsSince) >= replicaLag {
				waiting = append(waiting, r.trip)
			}
		}
	}
	return waiting
}
