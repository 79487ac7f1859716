package latency

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// driver accepts the first offer that comes and drives at once.
type driver struct {
	*phone
	ended chan struct{} // closed when the trip is complete
}

// pairFor bounds the time from a request to the beginning of the ride.
const pairFor = time.Minute

func (c *crew) hireDriver(ctx context.Context, id string, base location.Point) error {
	p, err := login(ctx, c.cfg, "driver", id)
	if err != nil {
		return err
	}
	p.base = base
	d := &driver{phone: p, ended: make(chan struct{})}
	c.mu.Lock()
	c.byID[id] = d
	c.mu.Unlock()
	var f wire.ServerFrame
	c.hire(p, func(data []byte) error {
		if err := p.codec.Decode(data, &f); err != nil {
			return err
		}
		return d.answer(&f)
	})
	duty := &wire.ClientFrame{Id: "duty", Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: true}}}
	if err := p.write(duty); err != nil {
		return err
	}
	return p.fix(time.Now())
}

// answer takes every step of the trip as soon as the one before is acked.
func (d *driver) answer(f *wire.ServerFrame) error {
	if o := f.GetOffer(); o != nil {
		return d.write(&wire.ClientFrame{Id: "accept-" + o.Id,
			Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: o.Id, Accept: true}}})
	}
	a := f.GetAck()
	if a == nil || a.Code != "" || a.Trip == nil {
		return nil // a lost offer goes to the next driver
	}
	switch a.Trip.State {
	case "reserved":
		return d.step(a.Trip.Id, wire.Step_ARRIVE)
	case "arrived":
		return d.step(a.Trip.Id, wire.Step_START)
	case "completed":
		select {
		case <-d.ended:
		default:
			close(d.ended)
		}
	}
	return nil
}

func (d *driver) step(trip string, s wire.Step) error {
	return d.write(&wire.ClientFrame{Id: fmt.Sprintf("%s-%s", s, trip),
		Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: trip, Step: s}}})
}

// rider requests a trip and watches its car.
type rider struct {
	*phone
	crew  *crew
	index int
	pair  atomic.Pointer[pair]
	begun chan *wire.Trip // the trip, when the ride begins
	fail  chan error      // why it will not
	frame wire.ServerFrame
}

// ride brings one rider into a car.
func (c *crew) ride(ctx context.Context, i int, id string, at location.Point) error {
	p, err := login(ctx, c.cfg, "rider", id)
	if err != nil {
		return err
	}
	r := &rider{phone: p, crew: c, index: i, begun: make(chan *wire.Trip, 1), fail: make(chan error, 1)}
	c.hire(p, r.handle)
	to := location.Point{Lng: at.Lng + 0.005, Lat: at.Lat} // wherever; the car never goes there
	if other := c.placeOf(i + 1); other != (location.Point{}) {
		to = other
	}
	err = p.write(&wire.ClientFrame{Id: uuid.NewString(), Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{
		Pickup: &wire.Point{Lng: at.Lng, Lat: at.Lat}, Dropoff: &wire.Point{Lng: to.Lng, Lat: to.Lat}}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pairFor)
	defer cancel()
	select {
	case t := <-r.begun:
		return c.join(r, t)
	case err := <-r.fail:
		return fmt.Errorf("rider %s: %w", id, err)
	case <-ctx.Done():
		return fmt.Errorf("rider %s waits for a ride: %w", id, ctx.Err())
	}
}

// placeOf is where some other driver waits: a road that is sure to be served.
func (c *crew) placeOf(i int) location.Point {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.byID { // any but the rider's own place
		if i--; i%7 == 0 {
			return d.base
		}
	}
	return location.Point{}
}

func (c *crew) join(r *rider, t *wire.Trip) error {
	c.mu.Lock()
	d := c.byID[t.DriverId]
	c.mu.Unlock()
	if d == nil {
		return fmt.Errorf("rider %s got %s, a driver not of this run; measure on a node without other drivers near", r.id, t.DriverId)
	}
	p := &pair{driver: d.phone, rider: r.phone, tripID: t.Id}
	r.pair.Store(p)
	c.pairs[r.index] = p
	return nil
}

// handle runs on the rider's reader.
func (r *rider) handle(data []byte) error {
	got := nowMs()
	f := &r.frame
	if err := r.codec.Decode(data, f); err != nil {
		return err
	}
	switch {
	case f.GetPosition() != nil:
		return r.see(f.GetPosition(), got)
	case f.GetAck() != nil && f.GetAck().Code != "":
		r.giveUp(errors.New(f.GetAck().Code + ": " + f.GetAck().Message))
	case f.GetTripEvent() != nil:
		r.follow(f.GetTripEvent().Trip)
	}
	return nil
}

func (r *rider) follow(t *wire.Trip) {
	switch t.GetState() {
	case "on_trip":
		select {
		case r.begun <- t:
		default:
		}
	case "expired", "cancelled":
		r.giveUp(fmt.Errorf("the trip is %s: %s", t.State, t.EndReason))
	}
}

func (r *rider) giveUp(err error) {
	select {
	case r.fail <- err:
	default:
	}
}

// see records a position and gives credit back for every second one.
func (r *rider) see(pos *wire.Position, got float64) error {
	if p := r.pair.Load(); p != nil {
		p.over.Store(int64(pos.Overwritten))
		r.crew.m.take(r.index, p, arrival{due: pos.AtMs, received: pos.ReceivedMs, sent: pos.SentMs, got: got})
	}
	if pos.N%2 != 0 {
		return nil
	}
	return r.write(&wire.ClientFrame{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{N: pos.N}}})
}

// dismiss completes the trips, so that the node is left as it was found.
func (c *crew) dismiss(ctx context.Context) {
	if c.cfg.Bare {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := each(ctx, len(c.pairs), func(ctx context.Context, i int) error {
		c.mu.Lock()
		d := c.byID[c.pairs[i].driver.id]
		c.mu.Unlock()
		if err := d.step(c.pairs[i].tripID, wire.Step_COMPLETE); err != nil {
			return err
		}
		select {
		case <-d.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		c.cfg.Log.Warn("not every trip was completed", "err", err)
	}
}
