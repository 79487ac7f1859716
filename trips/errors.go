package trips

import (
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/internal/text"
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
	ErrNotText   = errors.New("text that is not UTF-8 or has a NUL character, which no database keeps")
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

// CheckText returns ErrNotText if one of the texts is not UTF-8 or has a NUL.
// Every store asks it before it writes what came from outside, so that all
// engines refuse the same.
func CheckText(texts ...string) error {
	for _, s := range texts {
		if !text.IsKeepable(s) {
			return ErrNotText
		}
	}
	return nil
}
