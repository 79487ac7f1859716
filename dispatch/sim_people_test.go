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

// simDriver is a phone and its driver.
type simDriver struct {
	city *simCity
	id   trips.DriverID
	at   location.Point

	mu         sync.Mutex  // Guards all below.
	process    *simProcess // nil while the phone has no socket.
	session    int
	socketLost chan struct{} // Closed when the session ends.
}

// runShift connects the phone, loses its socket now and then, and reconnects it
// after it or its node died.
func (d *simDriver) runShift() {
	for d.city.ctx.Err() == nil {
		l, lost := d.connectTo(d.city.nodes[d.city.drawNumber(0, 2)])
		if l == nil {
			d.city.pause(time.Second)
			continue
		}

		luck := time.NewTimer(d.city.drawDuration(10*time.Second, 20*time.Minute))
		select {
		case <-l.ctx.Done():
		case <-lost:
		case <-luck.C:
			if d.city.isTroubled.Load() {
				d.loseSocket()
			}
		}

		luck.Stop()
		if d.currentProcess() == nil {
			d.city.pause(d.city.drawDuration(100*time.Millisecond, 20*time.Second))
		}
	}
}

// connectTo opens a socket at a node. The shared state learns where the driver
// is, and the phone learns what it missed.
func (d *simDriver) connectTo(n *simNode) (*simProcess, <-chan struct{}) {
	l := n.currentProcess()
	if l.ctx.Err() != nil {
		return nil, nil
	}

	d.mu.Lock()
	if d.process == l {
		d.mu.Unlock()
		return l, d.socketLost // The old socket is still open.
	}

	d.session++
	session, lost := d.session, make(chan struct{})
	d.process, d.socketLost = l, lost
	d.mu.Unlock()

	l.mu.Lock()
	l.sessions[d.id] = session
	l.drivers.Connect(d.id, n.name)
	l.mu.Unlock()

	l.drivers.SetAvailable(d.id, true)
	l.drivers.Move(d.id, location.Fix{Point: d.at, Seq: 1, At: time.Now()})
	for _, o := range l.inbox.OffersOf(d.id) {
		d.city.sendMessage(func() { d.receiveOffer(l, o) })
	}

	d.city.wg.Go(func() {
		// The welcome reports the active trip, as soon as the store answers.
		for l.ctx.Err() == nil {
			t, err := d.city.store.ActiveTrip(l.ctx, trips.Driver(d.id))
			if err == nil {
				l.drivers.Follow(t)
			}
			if err == nil || errors.Is(err, trips.ErrNotFound) {
				return
			}
			d.city.pause(time.Second)
		}
	})
	return l, lost
}

// loseSocket closes the socket. Its node notices at once, unless it is gone
// itself.
func (d *simDriver) loseSocket() {
	d.mu.Lock()
	l := d.process
	if l == nil {
		d.mu.Unlock()
		return
	}

	d.process = nil
	close(d.socketLost)
	d.mu.Unlock()

	l.mu.Lock()
	delete(l.sessions, d.id)
	l.drivers.Disconnect(d.id, l.node.name)

	held := l.inbox.OffersOf(d.id)
	for _, o := range held {
		l.inbox.Drop(o.ID)
		delete(l.liveOffers, o.ID)
	}
	l.mu.Unlock()

	for _, o := range held {
		for _, n := range d.city.nodes {
			if n.name == o.Node {
				d.city.sendMessage(func() { n.currentProcess().currentDispatcher().OnDriverGone(o.Driver) })
			}
		}
	}
}

func (d *simDriver) currentProcess() *simProcess {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.process != nil && d.process.ctx.Err() != nil {
		return nil // Its node died.
	}
	return d.process
}

// receiveOffer shows an offer on the screen, perhaps for the second time.
func (d *simDriver) receiveOffer(l *simProcess, o dispatch.Offer) {
	if d.currentProcess() != l {
		return
	}

	mood := 0
	if d.city.isTroubled.Load() {
		mood = d.city.drawNumber(0, 10)
	}

	soon := time.Now().Add(d.city.drawDuration(time.Second, 10*time.Second))
	switch mood {
	case 9: // No answer.
	case 8: // The phone dies with the offer on it.
		d.city.mailbox.deliverAt(soon, d.loseSocket)
	case 6, 7:
		d.city.mailbox.deliverAt(soon, func() { d.declineOffer(o) })
	default: // Accepted in time, or too late.
		limit := 6 * time.Second
		if d.city.isTroubled.Load() {
			limit = offerFor + 3*time.Second
		}
		d.city.wg.Go(func() {
			if d.city.pause(d.city.drawDuration(time.Second, limit)) {
				d.acceptOffer(o)
			}
		})
	}
}

func (d *simDriver) declineOffer(o dispatch.Offer) {
	if l := d.currentProcess(); l != nil {
		if taken, err := l.takeOffer(d.id, o.ID); err == nil {
			l.forwardDecline(taken)
		}
	}
}

// acceptOffer repeats the command until an answer comes back.
func (d *simDriver) acceptOffer(o dispatch.Offer) {
	key := trips.IdempotencyKey{Actor: trips.Driver(d.id), ID: "accept-" + o.ID, Fingerprint: "accept " + o.ID}
	for try := 0; try < 20 && d.city.ctx.Err() == nil; try++ {
		l := d.currentProcess()
		switch {
		case l == nil:
		case d.city.isTroubled.Load() && d.city.drawChance(.1): // It is lost.
		default:
			err := d.answerOffer(l, key, o)
			if known := err == nil || isRefusal(err); known && !(d.city.isTroubled.Load() && d.city.drawChance(.1)) {
				return // Otherwise the ack got lost.
			}
		}

		d.city.pause(d.city.drawDuration(time.Second, 3*time.Second))
	}
}

// answerOffer is what a node's API does with an accepted offer.
func (d *simDriver) answerOffer(l *simProcess, key trips.IdempotencyKey, offered dispatch.Offer) error {
	ctx, cancel := context.WithTimeout(l.ctx, 5*time.Second)
	defer cancel()

	o, err := l.takeOffer(d.id, offered.ID)
	if err != nil {
		ev, recorded := d.city.store.RecordedEvent(ctx, key)
		if recorded == nil {
			l.drivers.Follow(ev.Trip)
			return nil
		}
		if !errors.Is(recorded, trips.ErrNotFound) {
			return recorded
		}
		return err
	}

	ev, err := d.city.service.Apply(ctx, key, o.Trip.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Reserve(d.id, at)
	})
	switch {
	case err == nil:
		l.drivers.Follow(ev.Trip)
	case isRefusal(err):
		l.forwardDecline(o)
	default: // The database is away: the driver may try again.
		l.mu.Lock()
		l.putOfferLocked(o)
		l.mu.Unlock()
	}

	return err
}

// isRefusal reports whether trying again is useless.
func isRefusal(err error) bool {
	for _, e := range []error{trips.ErrTaken, trips.ErrBadMove, trips.ErrNotFound, trips.ErrNotYours, trips.ErrRiderBusy,
		trips.ErrKeyReused, dispatch.ErrOfferGone} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// driveTrip brings a reserved trip to its end.
func (d *simDriver) driveTrip(t trips.Trip) {
	by := trips.Driver(d.id)
	for i, verb := range []func(trips.Trip, trips.Actor, time.Time) (trips.Event, error){
		trips.Trip.Arrive, trips.Trip.Start, trips.Trip.Complete} {
		if !d.city.pause(d.city.drawDuration(100*time.Millisecond, 90*time.Second)) {
			return
		}
		quits := i < 2 && d.city.isTroubled.Load() && d.city.drawChance(.15)
		now, ok := d.city.sendUntilKnown(by, fmt.Sprint("step-", i), t.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
			if quits {
				return t.Cancel(by, "flat tyre", at)
			}
			return verb(t, by, at)
		})
		if l := d.currentProcess(); ok && l != nil {
			l.drivers.Follow(now)
		}
		if !ok || quits {
			return
		}
	}
}
