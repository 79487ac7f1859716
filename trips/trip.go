// Package trips defines what a trip is: its states, the only legal transitions,
// the event each transition yields, and what a store of trips must promise. It
// is pure: no goroutines, no locks, no network.
package trips

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Ids are distinct types, so that a rider's id cannot be passed where a
// driver's is meant. Each is at most 64 bytes.
type (
	TripID   string
	DriverID string
	RiderID  string
)

// Role is the kind of party that acts on a trip.
type Role string

const (
	RoleRider  Role = "rider"
	RoleDriver Role = "driver"
	RoleSystem Role = "system"
)

// Actor is the party that does something: a role and the id of the person, or
// of the node for RoleSystem.
type Actor struct {
	Role Role   `json:"role"`
	ID   string `json:"id"`
}

// Rider returns the actor for a rider.
func Rider(id RiderID) Actor { return Actor{RoleRider, string(id)} }

// Driver returns the actor for a driver.
func Driver(id DriverID) Actor { return Actor{RoleDriver, string(id)} }

// System returns the actor for a node that acts by itself.
func System(node string) Actor { return Actor{RoleSystem, node} }

func (a Actor) String() string { return string(a.Role) + ":" + a.ID }

// State is a trip's state. The words are those of the Mobility Data
// Specification where it has them.
type State string

const (
	Requested State = "requested" // waiting for a driver
	Reserved  State = "reserved"  // a driver is on the way
	Arrived   State = "arrived"   // the driver waits at the pickup
	OnTrip    State = "on_trip"   // the rider is in the car
	Completed State = "completed"
	Expired   State = "expired" // no driver was found
	Cancelled State = "cancelled"
)

// IsActive reports whether a trip in this state binds its rider, and its driver
// if it has one: neither may have a second active trip.
func (s State) IsActive() bool {
	return s == Requested || s == Reserved || s == Arrived || s == OnTrip
}

// Kind names an event.
type Kind string

const (
	KindRequested    Kind = "requested"
	KindReserved     Kind = "reserved"
	KindArrived      Kind = "arrived"
	KindOnTrip       Kind = "on_trip"
	KindCompleted    Kind = "completed"
	KindExpired      Kind = "expired"
	KindRiderCancel  Kind = "rider_cancellation"
	KindDriverCancel Kind = "driver_cancellation"
	KindSystemCancel Kind = "system_cancellation"
)

// Quote is what the rider agreed to: metres and duration of the way, the price,
// and whether the way was found on roads or estimated from the straight line.
type Quote struct {
	Metres   float64       `json:"metres"`
	Duration time.Duration `json:"duration_ns"`
	Fare     Money         `json:"fare"`
	Source   string        `json:"source"` // "road" or "straight_line"

	// Metres from the pickup and the dropoff to the ends of the way, rounded
	// up and at least 1. 0 means unknown: without roads, and in quotes of
	// earlier builds.
	PickupOffRoad  uint16 `json:"pickup_off_road_m,omitempty"`
	DropoffOffRoad uint16 `json:"dropoff_off_road_m,omitempty"`
}

// Trip is a value: a transition returns a changed copy. Version counts the
// transitions from 1 and equals the number of the trip's last event.
type Trip struct {
	ID      TripID          `json:"id"`
	Rider   RiderID         `json:"rider"`
	Driver  DriverID        `json:"driver,omitempty"`
	State   State           `json:"state"`
	Version uint32          `json:"version"`
	Region  location.Region `json:"region"`
	Pickup  location.Point  `json:"pickup"`
	Dropoff location.Point  `json:"dropoff"`
	Quote   Quote           `json:"quote"`
	// Reason says why the trip expired or was cancelled.
	Reason string `json:"reason,omitempty"`

	RequestedAt time.Time `json:"requested_at"`
	ReservedAt  time.Time `json:"reserved_at,omitzero"`
	ArrivedAt   time.Time `json:"arrived_at,omitzero"`
	StartedAt   time.Time `json:"started_at,omitzero"`
	EndedAt     time.Time `json:"ended_at,omitzero"`
}

// Event is one transition of one trip, with the trip as it is afterwards. Its
// number within the trip is Trip.Version.
type Event struct {
	Kind Kind      `json:"kind"`
	At   time.Time `json:"at"`
	By   Actor     `json:"by"`
	Trip Trip      `json:"trip"`

	// Car is where the car was when its driver arrived, started or completed.
	// Other events, and those of earlier builds, have none (HasCar).
	Car CarFix `json:"car,omitzero"`
	// Early says that the ride was completed before its destination.
	Early bool `json:"early,omitempty"`
}

// Seq returns the event's number within its trip. The first is 1 and there are
// no gaps.
func (e Event) Seq() uint32 { return e.Trip.Version }

// Request opens a trip. It returns ErrBadPoint for a pickup or dropoff that is
// not on the map.
func Request(id TripID, rider RiderID, pickup, dropoff location.Point, q Quote, at time.Time) (Event, error) {
	for name, p := range map[string]location.Point{"pickup": pickup, "dropoff": dropoff} {
		if err := p.CheckRange(); err != nil {
			return Event{}, fmt.Errorf("%w: %s: %v", ErrBadPoint, name, err)
		}
	}

	region, err := location.RegionOf(pickup)
	if err != nil {
		return Event{}, fmt.Errorf("%w: pickup: %v", ErrBadPoint, err)
	}

	t := Trip{ID: id, Rider: rider, State: Requested, Version: 1, Region: region,
		Pickup: pickup, Dropoff: dropoff, Quote: q, RequestedAt: at}
	return Event{Kind: KindRequested, At: at, By: Rider(rider), Trip: t}, nil
}

// BeginsInRegion reports whether the trip's region holds its pickup. Trips of
// earlier builds have larger regions than those of today.
func (t Trip) BeginsInRegion() bool { return t.Region.Contains(t.Pickup) }

// Reserve assigns the trip to a driver. Errors: ErrNotYours without a driver,
// ErrTaken when another driver has the trip, ErrBadMove.
func (t Trip) Reserve(driver DriverID, at time.Time) (Event, error) {
	if driver == "" {
		return Event{}, fmt.Errorf("trip %s: no driver to reserve it for: %w", t.ID, ErrNotYours)
	}

	if t.State != Requested {
		if t.Driver != "" && t.Driver != driver {
			return Event{}, fmt.Errorf("trip %s: %w", t.ID, ErrTaken)
		}
		return Event{}, t.illegalMove(KindReserved)
	}

	t.Driver, t.ReservedAt = driver, at
	return t.advanceTo(Reserved, KindReserved, Driver(driver), at), nil
}

// Arrive records that the driver waits at the pickup. Only the trip's driver
// may. Where the car is, MakeStep asks. Errors: ErrNotYours, ErrBadMove.
func (t Trip) Arrive(by Actor, at time.Time) (Event, error) {
	if err := t.requireDriver(by, Reserved, KindArrived); err != nil {
		return Event{}, err
	}
	t.ArrivedAt = at
	return t.advanceTo(Arrived, KindArrived, by, at), nil
}

// Start records that the rider is in the car. Only the trip's driver may.
// Errors: ErrNotYours, ErrBadMove.
func (t Trip) Start(by Actor, at time.Time) (Event, error) {
	if err := t.requireDriver(by, Arrived, KindOnTrip); err != nil {
		return Event{}, err
	}
	t.StartedAt = at
	return t.advanceTo(OnTrip, KindOnTrip, by, at), nil
}

// Complete ends the ride at its quoted fare. Only the trip's driver may.
// Errors: ErrNotYours, ErrBadMove.
func (t Trip) Complete(by Actor, at time.Time) (Event, error) {
	if err := t.requireDriver(by, OnTrip, KindCompleted); err != nil {
		return Event{}, err
	}
	t.EndedAt = at
	return t.advanceTo(Completed, KindCompleted, by, at), nil
}

// Expire ends the search for a driver. Only the system may. Errors:
// ErrNotYours, ErrBadMove.
func (t Trip) Expire(by Actor, reason string, at time.Time) (Event, error) {
	if by.Role != RoleSystem {
		return Event{}, fmt.Errorf("trip %s: %w", t.ID, ErrNotYours)
	}
	if t.State != Requested {
		return Event{}, t.illegalMove(KindExpired)
	}

	t.Reason, t.EndedAt = reason, at
	return t.advanceTo(Expired, KindExpired, by, at), nil
}

// Cancel ends a trip before the ride is over. The rider and the driver may
// cancel until the ride begins, the system as long as the trip is active.
// Errors: ErrNotYours, ErrBadMove.
func (t Trip) Cancel(by Actor, reason string, at time.Time) (Event, error) {
	kind, ok := KindSystemCancel, by.Role == RoleSystem
	switch by.Role {
	case RoleRider:
		kind, ok = KindRiderCancel, by.ID == string(t.Rider)
	case RoleDriver:
		kind, ok = KindDriverCancel, t.Driver != "" && by.ID == string(t.Driver)
	}

	if !ok {
		return Event{}, fmt.Errorf("trip %s: %w", t.ID, ErrNotYours)
	}
	if !t.State.IsActive() || (t.State == OnTrip && by.Role != RoleSystem) {
		return Event{}, t.illegalMove(kind)
	}

	t.Reason, t.EndedAt = reason, at
	return t.advanceTo(Cancelled, kind, by, at), nil
}

// Concerns reports whether the actor is the trip's rider, its driver, or the
// system.
func (t Trip) Concerns(a Actor) bool {
	switch a.Role {
	case RoleRider:
		return a.ID == string(t.Rider)
	case RoleDriver:
		return t.Driver != "" && a.ID == string(t.Driver)
	}
	return a.Role == RoleSystem
}

// requireDriver returns an error unless the actor drives this trip and the trip
// is in the state that the transition leaves.
func (t Trip) requireDriver(by Actor, from State, kind Kind) error {
	if by.Role != RoleDriver || t.Driver == "" || by.ID != string(t.Driver) {
		return fmt.Errorf("trip %s: %w", t.ID, ErrNotYours)
	}
	if t.State != from {
		return t.illegalMove(kind)
	}
	return nil
}

// advanceTo returns the event that takes the trip to a state under the next
// version.
func (t Trip) advanceTo(to State, kind Kind, by Actor, at time.Time) Event {
	t.State = to
	t.Version++
	return Event{Kind: kind, At: at, By: by, Trip: t}
}

func (t Trip) illegalMove(kind Kind) error {
	return &MoveError{Trip: t.ID, From: t.State, Move: kind}
}

// NextStates lists the legal transitions: from a state, by an event, to a
// state. It is the whole state machine as data, for checkers and for the
// documentation. The methods of Trip enforce the same table; a test compares
// the two.
var NextStates = map[State]map[Kind]State{
	"":        {KindRequested: Requested},
	Requested: {KindReserved: Reserved, KindExpired: Expired, KindRiderCancel: Cancelled, KindSystemCancel: Cancelled},
	Reserved:  {KindArrived: Arrived, KindRiderCancel: Cancelled, KindDriverCancel: Cancelled, KindSystemCancel: Cancelled},
	Arrived:   {KindOnTrip: OnTrip, KindRiderCancel: Cancelled, KindDriverCancel: Cancelled, KindSystemCancel: Cancelled},
	OnTrip:    {KindCompleted: Completed, KindSystemCancel: Cancelled},
}
