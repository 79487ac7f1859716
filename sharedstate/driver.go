// Package sharedstate remembers what is hot: where every driver is, who may be
// offered a trip, who is connected and who watches whom. It hands out copies
// and calls nobody.
package sharedstate

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// Status is what a driver can do just now, in the words of the Mobility Data
// Specification where it has them.
type Status string

const (
	Available      Status = "available"
	Offered        Status = "offered" // held while an offer waits for an answer
	Reserved       Status = "reserved"
	OnTrip         Status = "on_trip"
	NonOperational Status = "non_operational"

	// NonContactable is counted, and never kept: on duty, without a trip, and
	// silent for longer than OfflineAfter.
	NonContactable Status = "non_contactable"
)

// ErrNotAvailable says that a driver cannot be held: unknown, gone, off duty,
// held by another offer, or on a trip.
var ErrNotAvailable = errors.New("driver is not available")

// Unknown refuses fixes of drivers who never entered.
const Unknown location.Reason = "unknown_driver"

// Driver is a copy of what is known about one driver.
type Driver struct {
	ID         trips.DriverID
	Node       string // where the driver's socket is
	Fix        location.Fix
	ReceivedAt time.Time // our clock
	Cell       location.Cell
	Status     Status
	Trip       trips.TripID
	Hold       string // the offer that holds the driver
	Connected  bool
}

// Located says whether a position is known.
func (d Driver) Located() bool { return !d.Fix.At.IsZero() }

// Near is a driver and the straight distance to the point asked for.
type Near struct {
	Driver
	Metres float64
	// without a trip while on duty, as far as this node knows
	Idle time.Duration
}

// entry is a driver as kept. All but slot are guarded by the shard's lock.
type entry struct {
	shard       *shard
	driver      Driver       // driver.Status always equals status()
	cell        *cell        // nil until located
	cellSlot    atomic.Int32 // place in cell.drivers; written under tile.mu
	onDuty      bool         // on duty
	tripStatus  Status       // Reserved or OnTrip while d.Trip is set
	endedTrip   trips.TripID
	changedTick uint64 // tick of the last change
	// the phone's clock when the track saw a fix, Unix nanoseconds; at hand, so
	// that track need not be
	trackedAt int64
	enteredAt time.Time // when the driver's socket was last opened at this node
	track     location.Track
	// idleSince is when the driver was last without a trip and on duty anew, in
	// nanoseconds of the Unix clock.
	idleSince int64
	// to 512, so that what a move needs begins where lines of the cache do
	_ [48]byte
}

// deriveStatus derives what may be derived, so that no two facts can disagree.
func (e *entry) deriveStatus() Status {
	switch {
	case e.driver.Trip != "":
		return e.tripStatus
	case e.driver.Hold != "":
		return Offered
	case e.onDuty:
		return Available
	}
	return NonOperational
}

// isFree says whether the driver may be offered a trip.
func (e *entry) isFree() bool { return e.driver.Status == Available && e.driver.Connected }
