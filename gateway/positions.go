package gateway

import (
	"math"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// maxMillis bounds the times that phones send: the year 5138.
const maxMillis = 1e14

// receiveFix takes a driver's position. If the fix filter accepts it, it is in
// the shared state and with the sessions of the driver's riders when this
// returns. The session's reader calls it.
func (s *session) receiveFix(f *wire.Fix, now time.Time) {
	if s.user.Role != trips.RoleDriver || f.GetPoint() == nil || math.IsNaN(f.AtMs) || math.Abs(f.AtMs) > maxMillis {
		s.refuseMalformedFix(f, now)
		return
	}
	fix := location.Fix{Point: translate.DecodePoint(f.Point), Seq: f.Seq, At: wire.FromMillis(f.AtMs), Heading: f.Heading, Speed: f.Speed, Accuracy: f.Accuracy}

	id := trips.DriverID(s.user.ID)
	why, flags := s.handle.Move(fix, now)
	if flags != 0 && s.g.cfg.OnSuspect != nil {
		s.g.cfg.OnSuspect(id, flags, now)
	}
	if why != location.Accepted {
		s.refuseFix(why, fix, now)
		return
	}

	s.g.metrics.accepted.Inc()
	ride, moved := s.traced.Load(), time.Time{}
	if ride != nil && ride.takeFix(fix) {
		moved = s.g.cfg.Now()
	}
	s.watchers = s.g.sessions.Watchers(id, s.watchers[:0])
	for _, w := range s.watchers {
		w.out.deliverPosition(id, fix, now)
	}
	if !moved.IsZero() {
		ride.recordFix(f, now, moved)
	}
}

// DeliverReplica sends the newest position of another node's driver, which the
// shared state has by now, to the riders here who watch the car. It does not
// wait for a phone.
func (g *Gateway) DeliverReplica(id trips.DriverID) {
	watchers := g.sessions.Watchers(id, nil)
	if len(watchers) == 0 {
		return
	}

	if d, ok := g.cfg.Drivers.Get(id); ok && d.HasPosition() {
		for _, w := range watchers {
			w.out.deliverReplica(id, d.Fix, d.ReceivedAt)
		}
	}
}

// IsWatched reports whether a session here watches the driver's car.
func (g *Gateway) IsWatched(id trips.DriverID) bool { return g.sessions.IsWatched(id) }

// onWatchChanged says that a session began or ended to watch a driver's car.
func (g *Gateway) onWatchChanged(id trips.DriverID) {
	if id != "" && g.cfg.OnWatchChanged != nil {
		g.cfg.OnWatchChanged(id)
	}
}

// deliverPosition takes a position of a car that the phone watches and writes
// it at once if the ack window has room. It does not wait for a slow phone:
// with room in the window the socket's buffer has room.
func (o *sender) deliverPosition(id trips.DriverID, fix location.Fix, received time.Time) {
	o.mu.Lock()
	if id != o.position.driver {
		o.mu.Unlock()
		return // the ride is over by now
	}

	switch o.position.takePosition(fix, received) {
	case positionRepeated:
		o.countMessage(classPosition, outcomeDuplicate)
		o.mu.Unlock()
		return
	case positionLate:
		o.countMessage(classPosition, outcomeOverwritten)
		o.mu.Unlock()
		return
	case positionReplacing:
		o.countMessage(classPosition, outcomeOverwritten)
	}

	if o.position.trace != nil {
		o.tracePositionLocked()
	}
	o.writePositionAndUnlock(id)
}

// deliverReplica is deliverPosition for a car of another node.
func (o *sender) deliverReplica(id trips.DriverID, fix location.Fix, received time.Time) {
	o.mu.Lock()
	if id != o.position.driver {
		o.mu.Unlock()
		return // the ride is over by now
	}

	result, passedOver := o.position.takeReplica(fix, received)
	o.g.metrics.delivery[classPosition][outcomeOverwritten].Add(float64(passedOver))
	switch result {
	case positionRepeated:
		o.countMessage(classPosition, outcomeDuplicate)
		o.mu.Unlock()
		return
	case positionReplacing:
		o.countMessage(classPosition, outcomeOverwritten)
	}

	if o.position.trace != nil {
		o.tracePositionLocked()
	}
	o.writePositionAndUnlock(id)
}

// writePositionAndUnlock writes the position that was just kept if the ack
// window has room, and says that the driver is heard of again. The caller holds
// the lock.
func (o *sender) writePositionAndUnlock(id trips.DriverID) {
	back, trip := o.position.regainContact(), o.position.trip
	write := !o.writing && o.position.isReady()
	o.mu.Unlock()

	if back {
		o.sendFrame(commsFrame(trip, id, false, 0))
	}
	if write {
		o.flush()
	}
}

// ackPositions takes the number of the last position that the phone has shown.
// It came at a time by the node's clock; sentMs is by the phone's.
func (o *sender) ackPositions(n uint32, sentMs float64, now time.Time) {
	o.mu.Lock()
	if shown := o.position.ackUpTo(n); shown > 0 {
		o.g.metrics.delivery[classPosition][outcomeShown].Add(float64(shown))
		if o.position.trace != nil {
			o.recordShownLocked(sentMs, now)
		}
	}

	write := !o.writing && o.position.isReady()
	o.mu.Unlock()

	if write {
		o.flush()
	}
}

// followCar shows the phone the car of another driver, or none. watch is called
// under the lock if the car is another one, so that no position comes between;
// it returns where the car is, if that is known.
func (o *sender) followCar(trip trips.TripID, id trips.DriverID, watch func(trips.DriverID) (sharedstate.Driver, bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()

	unsent := o.position.fresh
	if trip != o.position.trip || id != o.position.driver {
		o.recordUnsentPositionLocked(outcomeOverwritten)
		defer o.traceTripLocked()
	}
	if !o.position.followCar(trip, id) {
		return
	}
	if unsent {
		o.countMessage(classPosition, outcomeOverwritten)
	}
	if d, ok := watch(id); ok && d.HasPosition() {
		o.position.takePosition(d.Fix, d.ReceivedAt)
	}
}

// checkContact sends the phone a frame, once, when the driver's phone was last
// heard of before lost. The trip goes on.
func (o *sender) checkContact(now, lost time.Time) {
	o.mu.Lock()
	silent := o.position.loseContact(lost)
	trip, driver, age := o.position.trip, o.position.driver, now.Sub(o.position.received)
	o.mu.Unlock()
	if silent {
		o.sendFrame(commsFrame(trip, driver, true, age))
	}
}

func commsFrame(trip trips.TripID, driver trips.DriverID, lost bool, age time.Duration) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Comms{Comms: &wire.Comms{
		TripId: string(trip), DriverId: string(driver), Lost: lost, AgeS: float32(age.Seconds())}}}
}
