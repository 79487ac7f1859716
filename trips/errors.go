package trips

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with errors.Is. Wrapping errors carry the
// details.
var (
	ErrBadMove   = errors.New("the trip cannot make this move from where it stands")
	ErrNotYours  = errors.New("the trip belongs to someone else")
	ErrNotFound  = errors.New("no such trip")
	ErrTaken     = errors.New("another driver has the trip, or the driver has another trip")
	ErrRiderBusy = errors.New("the rider has an active trip already")
	ErrConflict  = errors.New("the trip moved on meanwhile")
	ErrKeyReused = errors.New("this command id was used before for a different command")
	ErrAbandoned = errors.New("this command was given up before it was done, and never will be")
	ErrBadPoint  = errors.New("not a usable point")
)

// MoveError is an illegal transition; errors.Is(err, ErrBadMove) holds for it.
type MoveError struct {
	Trip TripID
	From State
	Move Kind
}

func (e *MoveError) Error() string {
	return fmt.Sprintf("trip %s is %s: %s is not possible", e.Trip, e.From, e.Move)
}

func (e *MoveError) Is(target error) bool { return target == ErrBadMove }
