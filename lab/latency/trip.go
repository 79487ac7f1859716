package latency

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// driver accepts the first offer of a rider of this run and drives at once.
type driver struct {
	*phone
	run     string // prefix of the ids of this run
	current currentTrip

	events eventCounter
}

const (
	// shortestRide is how far apart, in metres, the ends of a ride are at
	// least: a node takes no ride below 50 m.
	shortestRide = 100
	// At the end a car drives homeSpeed metres a second, which a node believes,
	// and sends a fix each homeTick.
	homeSpeed = 50
	homeTick  = 200 * time.Millisecond
)

// pairFor bounds the time from a request to the beginning of the ride.
const pairFor = time.Minute

func (c *crew) addDriver(ctx context.Context, run string, i int, base location.Point) error {
	id := fmt.Sprintf("%sd%d", run, i)
	server, _ := c.cfg.serversOf(i)
	p, err := c.logIn(ctx, server, client.RoleDriver, id)
	if err != nil {
		return err
	}

	p.base = base
	d := &driver{phone: p, run: run, events: eventCounter{first: 2}}
	c.mu.Lock()
	c.byID[id] = d
	c.mu.Unlock()

	var f wire.ServerFrame
	c.addPhone(p, &f, func(time.Time) error { return d.handleFrame(&f) })
	if err := p.sendCommand("duty", client.NewFrame(&wire.SetAvailable{Available: true})); err != nil {
		return err
	}

	return p.sendFix(time.Now())
}

// currentTrip is the newest known state of a trip.
type currentTrip struct{ trip atomic.Pointer[wire.Trip] }

func (c *currentTrip) setTrip(t *wire.Trip) {
	if t != nil {
		c.trip.Store(t)
	}
}

// tripIn returns the trip if it is in one of the states, or nil.
func (c *currentTrip) tripIn(states ...string) *wire.Trip {
	if t := c.trip.Load(); t != nil && slices.Contains(states, t.State) {
		return t
	}
	return nil
}

// handleFrame takes every step of the trip as soon as the one before is acked.
func (d *driver) handleFrame(f *wire.ServerFrame) error {
	d.events.countEvent(f.GetTripEvent())
	d.current.setTrip(f.GetTripEvent().GetTrip())
	if o := f.GetOffer(); o != nil {
		ours := strings.HasPrefix(o.Trip.GetRiderId(), d.run)
		return d.sendCommand("answer-"+o.Id, client.NewFrame(&wire.AnswerOffer{OfferId: o.Id, Accept: ours}))
	}

	a := f.GetAck()
	if trip, refused := refusedPickup(a); refused {
		// The rider's own car was silent, and this one is too far away.
		return d.sendCommand("cancel-"+trip, client.NewFrame(&wire.CancelTrip{TripId: trip, Reason: wrongCar}))
	}
	if a == nil || a.Code != "" || a.Trip == nil {
		return nil // a lost offer goes to the next driver
	}
	d.current.setTrip(a.Trip)

	switch a.Trip.State {
	case client.StateReserved:
		return d.sendStep(a.Trip.Id, wire.Step_ARRIVE)
	case client.StateArrived:
		return d.sendStep(a.Trip.Id, wire.Step_START)
	}

	return nil
}

// refusedPickup returns the trip whose step at the pickup the node refused.
func refusedPickup(a *wire.Ack) (trip string, refused bool) {
	step, trip, _ := strings.Cut(a.GetId(), "-")
	return trip, a.GetCode() != "" && (step == wire.Step_ARRIVE.String() || step == wire.Step_START.String())
}

func (d *driver) sendStep(trip string, s wire.Step) error {
	return d.sendCommand(fmt.Sprintf("%s-%s", s, trip), client.NewFrame(&wire.MoveTrip{TripId: trip, Step: s}))
}

// rider requests a trip and watches its car. The reader goroutine sends to the
// channels and never blocks.
type rider struct {
	*phone
	crew    *crew
	index   int
	pair    atomic.Pointer[pair]
	taken   chan *wire.Trip // reserved by a driver who is not of this run
	begun   chan *wire.Trip // the ride
	fail    chan error      // why there is none
	current currentTrip
	frame   wire.ServerFrame

	events eventCounter
}

// attempts bounds how often a rider asks again after a car that is not of this
// run was nearer.
const attempts = 20

// startRide brings one rider into a car of this run.
func (c *crew) startRide(ctx context.Context, i int, id string, of places) error {
	_, server := c.cfg.serversOf(i)
	p, err := c.logIn(ctx, server, client.RoleRider, id)
	if err != nil {
		return err
	}

	r := &rider{phone: p, crew: c, index: i, taken: make(chan *wire.Trip, 1), begun: make(chan *wire.Trip, 1), fail: make(chan error, 1),
		events: eventCounter{first: 1}}
	c.addPhone(p, &r.frame, r.handleFrame)
	c.mu.Lock()
	c.riders = append(c.riders, r)
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, pairFor)
	defer cancel()
	for range attempts {
		err := p.sendCommand(uuid.NewString(), client.NewFrame(&wire.RequestTrip{
			Pickup:  &wire.Point{Lng: of.pickup.Lng, Lat: of.pickup.Lat},
			Dropoff: &wire.Point{Lng: of.dropoff.Lng, Lat: of.dropoff.Lat}}))
		if err != nil {
			return err
		}

		t, err := r.awaitRide(ctx)
		if err != nil {
			return fmt.Errorf("rider %s: %w", id, err)
		}
		if t != nil {
			return c.joinPair(r, t)
		}

		// Our own car may become free meanwhile.
		sleep.For(ctx, time.Duration(100+rand.IntN(200))*time.Millisecond)
	}
	return fmt.Errorf("rider %s: %d times a car that is not of this run was nearer; measure where fewer others drive", id, attempts)
}

// awaitRide returns the ride when it begins, or nil if the car is not of this
// run; then it cancels the trip.
func (r *rider) awaitRide(ctx context.Context) (*wire.Trip, error) {
	for {
		select {
		case t := <-r.begun:
			return t, nil
		case t := <-r.taken:
			if err := r.cancelTrip(t, wrongCar); err != nil {
				return nil, err
			}
		case err := <-r.fail:
			if errors.Is(err, errWrongCar) {
				return nil, nil
			}
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a ride: %w", ctx.Err())
		}
	}
}

// wrongCar is the reason to cancel a trip with a car that is not of this run.
const wrongCar = "a measurement needs its own car"

var errWrongCar = errors.New(wrongCar)

func (c *crew) joinPair(r *rider, t *wire.Trip) error {
	c.mu.Lock()
	d := c.byID[t.DriverId]
	c.mu.Unlock()

	if d == nil {
		return fmt.Errorf("rider %s rides with %s, a driver not of this run", r.id, t.DriverId)
	}
	p := &pair{driver: d.phone, rider: r.phone, tripID: t.Id}
	d.moving.Store(true)
	r.pair.Store(p)
	c.pairs[r.index] = p
	return nil
}

// handleFrame runs on the rider's reader.
func (r *rider) handleFrame(at time.Time) error {
	f := &r.frame
	switch {
	case f.GetPosition() != nil:
		return r.recordPosition(f.GetPosition(), wire.ToMillis(at))
	case f.GetAck() != nil && f.GetAck().Code != "":
		r.giveUp(errors.New(f.GetAck().Code + ": " + f.GetAck().Message))
	case f.GetTripEvent() != nil:
		r.events.countEvent(f.GetTripEvent())
		r.current.setTrip(f.GetTripEvent().Trip)
		r.followTrip(f.GetTripEvent().Trip)
	}
	return nil
}

func (r *rider) followTrip(t *wire.Trip) {
	switch t.GetState() {
	case "reserved":
		if r.crew.hasDriver(t.DriverId) {
			return
		}
		select {
		case r.taken <- t:
		default:
		}
	case "on_trip":
		select {
		case r.begun <- t:
		default:
		}
	case "expired", "cancelled":
		if t.EndReason == wrongCar {
			r.giveUp(errWrongCar)
			return
		}
		r.giveUp(fmt.Errorf("the trip is %s: %s", t.State, t.EndReason))
	}
}

func (c *crew) hasDriver(driver string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[driver] != nil
}

func (r *rider) giveUp(err error) {
	select {
	case r.fail <- err:
	default:
	}
}

// recordPosition records a position and acks it.
func (r *rider) recordPosition(pos *wire.Position, got float64) error {
	if p := r.pair.Load(); p != nil {
		if pos.N <= p.last.Swap(pos.N) {
			p.repeated.Add(1)
			return nil
		}
		p.over.Store(int64(pos.Overwritten))
		r.crew.recorder.recordArrival(r.index, p, arrival{due: pos.AtMs, received: pos.ReceivedMs, sent: pos.SentMs, got: got})
	}
	return r.AckPosition(pos)
}

// endAllTrips leaves the node as it was found: it drives rides to their ends,
// and cancels the other trips. It gives up after answerTimeout.
func (c *crew) endAllTrips(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for {
		left := c.endTrips()
		if left == 0 {
			return
		}
		if !sleep.For(ctx, homeTick) {
			c.cfg.Log.Warn("not every trip could be ended", "trips", left)
			return
		}
	}
}

// endTrips asks for the end of each trip and returns how many there are. A node
// refuses that to a car that is still too far away. The command ids make
// repetitions harmless. No other goroutine may send fixes meanwhile.
func (c *crew) endTrips() (left int) {
	c.mu.Lock()
	defer c.mu.Unlock()

	for _, d := range c.byID {
		if t := d.current.tripIn(client.StateOnTrip); t != nil {
			left++
			// A dead socket shows in the count.
			_ = d.driveTowards(t.GetDropoff(), homeSpeed*homeTick.Seconds())
			_ = d.sendStep(t.Id, wire.Step_COMPLETE)
		}
	}

	for _, r := range c.riders {
		if t := r.current.tripIn(client.StateRequested, client.StateReserved, client.StateArrived); t != nil {
			left++
			_ = r.cancelTrip(t, "the measurement is over")
		}
	}

	return left
}

func (r *rider) cancelTrip(t *wire.Trip, why string) error {
	return r.sendCommand("cancel-"+t.Id, client.NewFrame(&wire.CancelTrip{TripId: t.Id, Reason: why}))
}
