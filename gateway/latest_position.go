package gateway

import (
	"sync"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// ackWindow is how many positions may be sent to a phone and not acked. One
// travels while the phone shows the other; more would let an old car queue up
// in the network.
const ackWindow = 2

// latestPosition holds the newest position of the car that a rider's phone may
// see. A newer one overwrites it; it is sent when the phone has acked all but
// one of those before. It has no lock of its own.
type latestPosition struct {
	trip     trips.TripID
	driver   trips.DriverID // "" while the phone may see no car
	fix      location.Fix
	received time.Time      // by the node's clock; zero until there is a fix
	fresh    bool           // not sent yet
	silent   bool           // the phone was told that the driver is silent
	trace    *positionTrace // nil: the trip is not sampled

	// Counted over the whole connection; the phone acks by these numbers.
	came  uint32 // positions meant for this phone, with those passed over
	sent  uint32
	acked uint32
}

// positionResult is what takePosition did with a position.
type positionResult uint8

const (
	// to be sent
	positionNew       positionResult = iota
	positionReplacing                // to be sent in place of an unsent one
	positionLate                     // a newer one is here already
	positionRepeated                 // it is here already
)

// followCar shows another car from now on, or none if driver is empty. A
// position that was not sent yet never will be. It returns false if the car is
// the same.
func (p *latestPosition) followCar(trip trips.TripID, driver trips.DriverID) bool {
	p.trip = trip
	if driver == p.driver {
		return false
	}
	*p = latestPosition{trip: trip, driver: driver, came: p.came, sent: p.sent, acked: p.acked}
	return true
}

// takePosition keeps the position if it is the newest.
func (p *latestPosition) takePosition(fix location.Fix, received time.Time) positionResult {
	if fix.At.Equal(p.fix.At) {
		return positionRepeated
	}
	p.came++
	if fix.At.Before(p.fix.At) {
		return positionLate
	}
	return p.keepPosition(fix, received)
}

// takeReplica keeps the position of another node's car if it is the newest.
// Between nodes a newer position replaces one that waits. The gap in the
// phone's numbers tells how many were passed over: they count as overwritten.
// One of them that comes late is counted by then.
func (p *latestPosition) takeReplica(fix location.Fix, received time.Time) (result positionResult, passedOver uint32) {
	if !fix.At.After(p.fix.At) {
		return positionRepeated, 0
	}
	if gap := fix.Seq - p.fix.Seq - 1; !p.received.IsZero() && fix.Seq > p.fix.Seq && gap <= maxPassedOver {
		passedOver = gap
	}
	p.came += 1 + passedOver
	return p.keepPosition(fix, received), passedOver
}

// maxPassedOver bounds what one position may pass over: a phone that begins to
// number anew has sent none of those between.
const maxPassedOver = 1000

func (p *latestPosition) keepPosition(fix location.Fix, received time.Time) positionResult {
	replacing := p.fresh
	p.fix, p.received, p.fresh = fix, received, true
	if replacing {
		return positionReplacing
	}
	return positionNew
}

// isReady returns true if a position waits and the ack window has room for it.
func (p *latestPosition) isReady() bool { return p.fresh && p.sent-p.acked < ackWindow }

// ackUpTo takes the number of the last position that the phone has shown, and
// returns how many it has shown since its last ack. A number that is not
// between the last ack and the last position sent is ignored.
func (p *latestPosition) ackUpTo(n uint32) (shown uint32) {
	if n <= p.acked || n > p.sent {
		return 0
	}
	shown = n - p.acked
	p.acked = n
	return shown
}

// countOverwritten counts the positions that the phone never got because a
// newer one came first.
func (p *latestPosition) countOverwritten() uint32 {
	n := p.came - p.sent
	if p.fresh {
		n--
	}
	return n
}

// loseContact returns true once when the car was last heard of before lost.
func (p *latestPosition) loseContact(lost time.Time) bool {
	if p.driver == "" || p.silent || p.received.IsZero() || !p.received.Before(lost) {
		return false
	}
	p.silent = true
	return true
}

// regainContact returns true once after loseContact did.
func (p *latestPosition) regainContact() bool {
	was := p.silent
	p.silent = false
	return was
}

// positionFrame is a frame of one position with all that it points to.
type positionFrame struct {
	buf   []byte // scratch to encode into
	frame wire.ServerFrame
	body  wire.ServerFrame_Position
	pos   wire.Position
	point wire.Point
}

var positionFrames = sync.Pool{New: func() any {
	f := new(positionFrame)
	f.frame.Body, f.body.Position, f.pos.Point = &f.body, &f.pos, &f.point
	return f
}}

// fillFrame makes a frame of the position, which counts as sent.
func (p *latestPosition) fillFrame(f *positionFrame, now time.Time) {
	p.sent++
	p.fresh = false
	f.pos.N, f.pos.DriverId, f.pos.Seq, f.pos.Overwritten = p.sent, string(p.driver), p.fix.Seq, p.countOverwritten()
	f.pos.AtMs, f.pos.ReceivedMs, f.pos.SentMs = wire.ToMillis(p.fix.At), wire.ToMillis(p.received), wire.ToMillis(now)
	f.pos.Heading, f.pos.Speed = p.fix.Heading, p.fix.Speed
	f.point.Lng, f.point.Lat = p.fix.Lng, p.fix.Lat
}
