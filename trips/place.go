package trips

import (
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
)

// The allowances of the rule of places, in metres. A car counts as being at a
// place if it is no further away than all of them together: PlaceGrace, the
// fix's own accuracy, how far the place lies off the road, and how far the car
// may have come since the fix.
const (
	// PlaceGrace covers the other side of a wide street, the next spot where a
	// car may stop, the entrance around the corner, and the part of a fix's
	// error that the phone does not admit.
	PlaceGrace = 150

	// unknownOffRoad is how far off the road a place may lie when its quote
	// does not say: the routing service knows no place further from a road.
	unknownOffRoad = 400

	// A car drives topSpeed metres in a second of the city at most, and no fix
	// is stretched by more than maxLead: a phone that sends a fix a second
	// needs 30 m, and five lost fixes are 150 m.
	topSpeed = 30
	maxLead  = 150

	// MinRide is the length of the shortest ride. Two points that are closer
	// than this are the same place.
	MinRide = 50
)

// MaxFixAge is the age at which a fix no longer says where a car is. A car in a
// tunnel, or one whose phone has just changed its node, has no other one.
const MaxFixAge = 30 * time.Second

var (
	// ErrNoPosition means that a step needs a younger fix than there is.
	ErrNoPosition = errors.New("the car's position is not known, or too old")
	// ErrTooFar means that the car is not where the step is made.
	ErrTooFar = errors.New("the car is too far from the place")
)

// DistanceError is a step at the wrong place; errors.Is(err, ErrTooFar) holds
// for it.
type DistanceError struct {
	Trip   TripID
	Move   Kind
	Metres float64 // From the car to the place of the step.

	// StillAtPickup says that the ride was to end early, and the car has not
	// left the pickup. Metres is then the distance to the pickup.
	StillAtPickup bool
}

func (e *DistanceError) Error() string {
	return fmt.Sprintf("trip %s: %s is not possible %.0f m away: %v", e.Trip, e.Move, e.Metres, ErrTooFar)
}

func (e *DistanceError) Is(target error) bool { return target == ErrTooFar }

// CarFix is the last believed fix of a driver's car at the moment of a step.
type CarFix struct {
	location.Point
	Accuracy float64       `json:"accuracy_m"` // Radius, as the phone claims.
	Age      time.Duration `json:"age_ns"`     // Since a node received it.

	// Pace is how many seconds of the city pass in one of Age; 0 means 1.
	Pace float64 `json:"pace,omitempty"`
}

// lead is how far the car may have come since the fix.
func (c CarFix) lead() float64 {
	return min(maxLead, topSpeed*max(1, c.Pace)*max(0, c.Age.Seconds()))
}

// reaches reports whether the car may be at a place that lies so far off the
// road, and returns its distance in metres.
func (c CarFix) reaches(place location.Point, offRoad float64) (metres float64, ok bool) {
	metres = location.MetresBetween(c.Point, place)
	return metres, metres <= PlaceGrace+c.Accuracy+c.lead()+offRoad
}

// Step is what a driver asks for on a trip.
type Step struct {
	Kind Kind // KindArrived, KindOnTrip or KindCompleted.

	// Early says that the rider gets out before the destination. It matters to
	// KindCompleted alone.
	Early bool

	// Car is nil when no fix of the driver was ever believed.
	Car *CarFix
}

// MakeStep makes the transition of a step, if the car is where the step belongs
// (CheckPlace). The event keeps the fix. Early is set in the event only if the
// car was not at the destination. Errors: those of Arrive, Start and Complete,
// ErrNoPosition, ErrTooFar.
func (t Trip) MakeStep(s Step, by Actor, at time.Time) (Event, error) {
	steps := map[Kind]func(Trip, Actor, time.Time) (Event, error){
		KindArrived: Trip.Arrive, KindOnTrip: Trip.Start, KindCompleted: Trip.Complete}
	step := steps[s.Kind]
	if step == nil {
		return Event{}, t.illegalMove(s.Kind)
	}

	ev, err := step(t, by, at)
	if err != nil {
		return Event{}, err
	}
	if s.Car == nil {
		return Event{}, fmt.Errorf("trip %s: %w", t.ID, ErrNoPosition)
	}
	if err := CheckPlace(t, s); err != nil {
		return Event{}, err
	}

	ev.Car = *s.Car
	_, there := s.Car.reaches(t.Dropoff, t.Quote.dropoffOffRoad())
	ev.Early = s.Early && s.Kind == KindCompleted && !there
	return ev, nil
}

// CheckPlace returns nil if a step may be made where the car is.
//
// A driver arrives and starts at the pickup, by a fix no older than MaxFixAge.
// A driver completes at the destination; there the last fix counts however old
// it is, because a phone may see no sky in a garage. A ride may end early
// anywhere but at the pickup: by the last fix, too.
//
// Errors: ErrTooFar, or ErrNoPosition if a younger fix might say otherwise.
func CheckPlace(t Trip, s Step) error {
	place, offRoad := t.Pickup, t.Quote.pickupOffRoad()
	if s.Kind == KindCompleted {
		place, offRoad = t.Dropoff, t.Quote.dropoffOffRoad()
	}
	fresh := s.Car.Age <= MaxFixAge

	metres, there := s.Car.reaches(place, offRoad)
	switch {
	case there && (fresh || s.Kind == KindCompleted):
		return nil
	case s.Early && s.Kind == KindCompleted:
		left, atPickup := s.Car.reaches(t.Pickup, t.Quote.pickupOffRoad())
		if !atPickup {
			return nil
		}
		if fresh {
			return &DistanceError{Trip: t.ID, Move: s.Kind, Metres: left, StillAtPickup: true}
		}
	}

	if !fresh {
		return fmt.Errorf("trip %s: the last fix is %v old: %w", t.ID, s.Car.Age.Round(time.Second), ErrNoPosition)
	}
	return &DistanceError{Trip: t.ID, Move: s.Kind, Metres: metres}
}

// HasCar reports whether the event says where the car was.
func (e Event) HasCar() bool { return e.Car != CarFix{} }

// MetresShort returns how far from its destination a ride ended, by the car's
// last fix; 0 for events of other kinds or without a fix.
func (e Event) MetresShort() float64 {
	if e.Kind != KindCompleted || !e.HasCar() {
		return 0
	}
	return location.MetresBetween(e.Car.Point, e.Trip.Dropoff)
}

func (q Quote) pickupOffRoad() float64  { return offRoadOf(q.PickupOffRoad) }
func (q Quote) dropoffOffRoad() float64 { return offRoadOf(q.DropoffOffRoad) }

func offRoadOf(metres uint16) float64 {
	if metres == 0 {
		return unknownOffRoad
	}
	return float64(metres)
}
