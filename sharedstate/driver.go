// Package sharedstate keeps the hot state of a node in memory: where each
// driver is, who may be offered a trip, who is connected and who watches whom.
// It follows trips by itself (Follow, TripFollower), returns copies, and calls
// nothing while it holds a lock, so that no caller waits long for one. All its
// methods are safe for concurrent use.
package sharedstate

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// Status is what a driver can do at the moment, in the terms of the Mobility
// Data Specification (MDS) where it has them.
type Status string

const (
	Available      Status = "available"
	Offered        Status = "offered" // An offer waits for an answer.
	Reserved       Status = "reserved"
	OnTrip         Status = "on_trip"
	NonOperational Status = "non_operational"

	// NonContactable only occurs in Counts: on duty, without a trip, and silent
	// for longer than OfflineAfter.
	NonContactable Status = "non_contactable"
)

// ErrNotAvailable means that a driver cannot be reserved: unknown,
// disconnected, off duty, held by another offer, or on a trip.
var ErrNotAvailable = errors.New("driver is not available")

// UnknownDriver is the reason to refuse a fix of a driver who never entered.
const UnknownDriver location.RejectReason = "unknown_driver"

// Driver is a copy of what is known about one driver.
type Driver struct {
	ID         trips.DriverID
	Node       string // The node that has the driver's socket.
	Fix        location.Fix
	ReceivedAt time.Time // By our clock.
	Cell       location.Cell
	Status     Status
	Trip       trips.TripID
	Hold       string // Id of the offer that holds the driver.
	Connected  bool
}

// HasPosition reports whether the driver has a position.
func (d Driver) HasPosition() bool { return !d.Fix.At.IsZero() }

// NearbyDriver is a driver and the straight distance to the point of the
// search.
type NearbyDriver struct {
	Driver
	Metres float64

	// Idle is how long the driver has been on duty without a trip, as far as
	// this node knows.
	Idle time.Duration
}

// Area is a place where drivers are looked for.
type Area struct {
	Point    location.Point
	Metres   float64
	Limit    int  // The nearest drivers.
	FreeOnly bool // Only drivers who may be offered a trip.
}

// entry is a driver as kept in a shard.
type entry struct {
	// Fixed at creation.
	shard *shard

	// Guarded by the shard's lock, with cellSlot also under the cell's.
	driver   Driver       // driver.Status always equals deriveStatus().
	cell     *cell        // nil until the driver has a position.
	cellSlot atomic.Int32 // Index in cell.drivers; written under cell.mu.
	onDuty   bool

	// offeredElsewhere says that another node has made the driver an offer, by
	// the driver's own node.
	offeredElsewhere bool

	// The lists of changeLists that the driver is in.
	listed, listedOnTrip bool

	tripStatus Status       // Reserved or OnTrip while driver.Trip is set.
	endedTrip  trips.TripID // The last trip that ended.

	// trackedAt is the phone's clock, in Unix nanoseconds, at the last fix that
	// the track saw. It lies here so that most fixes need not load the track.
	trackedAt int64
	enteredAt time.Time // When the socket was last opened at this node.
	track     location.Track

	// idleSince is when the driver last came on duty or became free after a
	// trip, in Unix nanoseconds.
	idleSince int64

	// The padding makes an entry 512 bytes long, so that the fields that Move
	// reads begin at a cache line.
	_ [56]byte
}

// deriveStatus computes the status from the other fields, so that no two fields
// can disagree.
func (e *entry) deriveStatus() Status {
	switch {
	case e.driver.Trip != "":
		return e.tripStatus
	case e.driver.Hold != "", e.offeredElsewhere:
		return Offered
	case e.onDuty:
		return Available
	}
	return NonOperational
}

// isFree reports whether the driver may be offered a trip.
func (e *entry) isFree() bool { return e.driver.Status == Available && e.driver.Connected }
