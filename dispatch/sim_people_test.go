package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// driver is a phone and whoever holds it.
type driver struct {
	c  *city
	id trips.DriverID
	at location.Point

	mu      sync.Mutex // guards all below
	on      *life      // nil while the phone has no socket
	session int
	lost    chan struct{} // closed when the session ends
}

// shift keeps the phone coming and going, and coming back after it or its node
// died.
func (d *driver) shift() {
	for d.c.ctx.Err() == nil {
		l, lost := d.connect(d.c.nodes[d.c.number(0, 2)])
		if l == nil {
			d.c.rest(time.Second)
			continue
		}

		luck := time.NewTimer(d.c.between(10*time.Second, 20*time.Minute))
		select {
		case <-l.ctx.Done():
		case <-lost:
		case <-luck.C:
			if d.c.troubled.Load() {
				d.vanish()
			}
		}

		luck.Stop()
		if d.connected() == nil {
			d.c.rest(d.c.between(100*time.Millisecond, 20*time.Second))
		}
	}
}

// connect opens a socket at a node: the shared state learns where the driver
// is, the phone what it missed.
func (d *driver) connect(n *node) (*life, <-chan struct{}) {
	l := n.now()
	if l.ctx.Err() != nil {
		return nil, nil
	}

	d.mu.Lock()
	if d.on == l {
		d.mu.Unlock()
		return l, d.lost // still there
	}

	d.session++
	session, lost := d.session, make(chan struct{})
	d.on, d.lost = l, lost
	d.mu.Unlock()

	l.mu.Lock()
	l.sessions[d.id] = session
	l.drivers.Enter(d.id, n.name)
	l.mu.Unlock()

	l.drivers.SetAvailable(d.id, true)
	l.drivers.Move(d.id, location.Fix{Point: d.at, Seq: 1, At: time.Now()})
	for _, o := range l.inbox.Held(d.id) {
		d.c.send(func() { d.got(l, o) })
	}

	d.c.wg.Go(func() {
		// the welcome tells the active trip, as soon as the store can say
		for l.ctx.Err() == nil {
			t, err := d.c.store.Active(l.ctx, trips.Driver(d.id))
			if err == nil {
				l.track(t)
			}
			if err == nil || errors.Is(err, trips.ErrNotFound) {
				return
			}
			d.c.rest(time.Second)
		}
	})
	return l, lost
}

// vanish loses the socket; its node notices at once, or is gone itself.
func (d *driver) vanish() {
	d.mu.Lock()
	l := d.on
	if l == nil {
		d.mu.Unlock()
		return
	}

	d.on = nil
	close(d.lost)
	d.mu.Unlock()

	l.mu.Lock()
	delete(l.sessions, d.id)
	l.drivers.Leave(d.id, l.n.name)

	held := l.inbox.Held(d.id)
	for _, o := range held {
		l.inbox.Drop(o.ID)
		delete(l.live, o.ID)
	}
	l.mu.Unlock()

	for _, o := range held {
		for _, n := range d.c.nodes {
			if n.name == o.Node {
				d.c.send(func() { n.now().dispatcher().DriverGone(o.Driver) })
			}
		}
	}
}

func (d *driver) connected() *life {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.on != nil && d.on.ctx.Err() != nil {
		return nil // its node died
	}
	return d.on
}

// got is an offer on the screen; it may be there for the second time.
func (d *driver) got(l *life, o dispatch.Offer) {
	if d.connected() != l {
		return
	}

	mood := 0
	if d.c.troubled.Load() {
		mood = d.c.number(0, 10)
	}

	soon := time.Now().Add(d.c.between(time.Second, 10*time.Second))
	switch mood {
	case 9: // no answer
	case 8: // the phone dies with the offer on it
		d.c.post.at(soon, d.vanish)
	case 6, 7:
		d.c.post.at(soon, func() { d.decline(o) })
	default: // in time, or too late
		limit := 6 * time.Second
		if d.c.troubled.Load() {
			limit = offerFor + 3*time.Second
		}
		d.c.wg.Go(func() {
			if d.c.rest(d.c.between(time.Second, limit)) {
				d.accept(o)
			}
		})
	}
}

func (d *driver) decline(o dispatch.Offer) {
	if l := d.connected(); l != nil {
		if taken, err := l.take(d.id, o.ID); err == nil {
			l.declined(taken)
		}
	}
}

// accept sends the command until an answer comes back.
func (d *driver) accept(o dispatch.Offer) {
	key := trips.Key{Actor: trips.Driver(d.id), ID: "accept-" + o.ID, Print: "accept " + o.ID}
	for try := 0; try < 20 && d.c.ctx.Err() == nil; try++ {
		l := d.connected()
		switch {
		case l == nil:
		case d.c.troubled.Load() && d.c.chance(.1): // lost on its way
		default:
			err := d.answer(l, key, o)
			if known := err == nil || final(err); known && !(d.c.troubled.Load() && d.c.chance(.1)) {
				return // else the ack got lost
			}
		}

		d.c.rest(d.c.between(time.Second, 3*time.Second))
	}
}

// answer is what a node's door does with an accepted offer.
func (d *driver) answer(l *life, key trips.Key, offered dispatch.Offer) error {
	ctx, cancel := context.WithTimeout(l.ctx, 5*time.Second)
	defer cancel()

	o, err := l.take(d.id, offered.ID)
	if err != nil {
		ev, recorded := d.c.store.Recorded(ctx, key)
		if recorded == nil {
			l.track(ev.Trip)
			return nil
		}
		if !errors.Is(recorded, trips.ErrNotFound) {
			return recorded
		}
		return err
	}

	ev, err := d.c.desk.Move(ctx, key, o.Trip.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Reserve(d.id, at)
	})
	switch {
	case err == nil:
		l.track(ev.Trip)
	case final(err):
		l.declined(o)
	default: // the database is away: the driver may try again
		l.mu.Lock()
		l.putLocked(o)
		l.mu.Unlock()
	}

	return err
}

// final says that trying again is of no use.
func final(err error) bool {
	for _, e := range []error{trips.ErrTaken, trips.ErrBadMove, trips.ErrNotFound, trips.ErrNotYours, trips.ErrRiderBusy,
		trips.ErrKeyReused, dispatch.ErrOfferGone} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// drive brings a reserved trip to its end.
func (d *driver) drive(t trips.Trip) {
	by := trips.Driver(d.id)
	for i, verb := range []func(trips.Trip, trips.Actor, time.Time) (trips.Event, error){
		trips.Trip.Arrive, trips.Trip.Start, trips.Trip.Complete} {
		if !d.c.rest(d.c.between(100*time.Millisecond, 90*time.Second)) {
			return
		}
		quits := i < 2 && d.c.troubled.Load() && d.c.chance(.15)
		now, ok := d.c.insist(by, fmt.Sprint("step-", i), t.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
			if quits {
				return t.Cancel(by, "flat tyre", at)
			}
			return verb(t, by, at)
		})
		if l := d.connected(); ok && l != nil {
			l.track(now)
		}
		if !ok || quits {
			return
		}
	}
}
