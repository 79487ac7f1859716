// Package translate encodes domain values as frames of the wire protocol and
// domain errors as its codes, the same for sockets and for HTTP.
package translate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// refusal is an error that carries its own code and words for the person.
type refusal struct {
	code wire.Code
	text string
}

func (r *refusal) Error() string { return r.text }

// Refuse returns an error for what the receiver of a message checks by itself:
// ExplainError returns the same code and text.
func Refuse(code wire.Code, text string) error { return &refusal{code, text} }

// answers is the one table from errors to codes. The first entry that matches
// counts. Someone else's trip answers like no trip at all.
var answers = []struct {
	err  error
	code wire.Code
	text string
}{
	{trips.ErrNotYours, wire.CodeNotFound, "You have no such trip; list yours with GET /v1/trips."},
	{trips.ErrNotFound, wire.CodeNotFound, "You have no such trip; list yours with GET /v1/trips."},
	{dispatch.ErrOfferGone, wire.CodeOfferGone, "This offer expired or was withdrawn; wait for the next one."},
	{trips.ErrTaken, wire.CodeTaken, "Another driver has this trip, or you have another one; wait for the next offer."},
	{trips.ErrRiderBusy, wire.CodeRiderBusy, "You have an active trip; cancel it or ride it to its end first."},
	{trips.ErrBadMove, wire.CodeIllegalMove, "The trip cannot do this from where it stands; read it again."},
	{trips.ErrNoPosition, wire.CodeNoPosition, "We do not know where your car is. Send your position (a fix), then the step again with the same id."},
	{trips.ErrTooFar, wire.CodeTooFar, "Your car is too far from the place. Drive there, then send the step again."},
	{trips.ErrKeyReused, wire.CodeKeyReused, "This command id was used for a different command; take a new id."},
	{trips.ErrConflict, wire.CodeConflict, "The trip moved on meanwhile; read it again, then repeat if it still makes sense."},
	{trips.ErrBadPoint, wire.CodeBadField, "A point needs lng in [-180, 180] and lat in [-90, 90]."},
	{location.ErrPoint, wire.CodeBadField, "A point needs lng in [-180, 180] and lat in [-90, 90]."},
	{trips.ErrNotText, wire.CodeBadField, "A text is not UTF-8 or has a NUL character; send plain text."},
	{chat.ErrBadText, wire.CodeBadText, "A chat message is 1 to 1,000 printable characters."},
	{chat.ErrClosed, wire.CodeChatClosed, "This trip has no chat now; it opens with a driver and closes a while after the ride."},
	{routing.ErrOutsideCity, wire.CodeOutsideCity, "We do not serve this place; choose a point near a road of the city."},
	{routing.ErrNoRoute, wire.CodeOutsideCity, "No road leads from one place to the other; choose others."},
	{sos.ErrBadText, wire.CodeBadText, "A call for help has at most 200 printable characters."},
	{sos.ErrClosed, wire.CodeIllegalMove, "The trip ended more than an hour ago; call the emergency number of your country."},
	{sos.ErrTooMany, wire.CodeTooMany, "Your calls are with the operators already; wait a minute before the next one."},
	{sos.ErrNotFound, wire.CodeNotFound, "There is no such alert; list the open ones with GET /ops/alerts."},
	{booking.ErrNoPoints, wire.CodeBadField, `Give both "pickup" and "dropoff", each with lng and lat.`},
	{booking.ErrSamePlace, wire.CodeBadField, "Pickup and destination are the same place; choose two that are at least 50 m apart."},
	{booking.ErrOtherRoute, wire.CodeBadQuote, "The quote is for another way; leave pickup and dropoff out, or ask for a new quote."},
	{pricing.ErrQuoteExpired, wire.CodeQuoteExpired, "The price was good for two minutes, and they are over; ask for a new quote."},
	{pricing.ErrBadQuote, wire.CodeBadQuote, "This is no quote of ours for you; ask for one with POST /v1/quotes and send it as it came."},
	{auth.ErrToken, wire.CodeUnauthorized, "Send a valid token as Authorization: Bearer TOKEN; get a new one if yours expired."},
	{auth.ErrActor, wire.CodeBadField, auth.ErrActor.Error() + "."},
	{context.DeadlineExceeded, wire.CodeUnavailable, "Something we need is slow just now; try again with the same id."},
	{context.Canceled, wire.CodeUnavailable, "The request was given up; try again with the same id."},
}

// ExplainError returns an error's code and what to tell the person. Unknown
// errors are a dependency's: the details stay in our log.
func ExplainError(err error) (wire.Code, string) {
	if r := new(refusal); errors.As(err, &r) {
		return r.code, r.text
	}

	for _, a := range answers {
		if errors.Is(err, a.err) {
			return a.code, addDetails(a.text, err)
		}
	}
	return wire.CodeUnavailable, "Something we need is down just now; try again with the same id."
}

// addDetails makes a text of the table say what the error knows: which end of a
// way it is about, how far the car is from its place, or what the trip can do.
func addDetails(text string, err error) string {
	if far := new(trips.DistanceError); errors.As(err, &far) {
		return explainDistance(far)
	}
	if move := new(trips.MoveError); errors.As(err, &move) {
		return explainMove(move)
	}

	if end := new(booking.EndError); errors.As(err, &end) {
		text = strings.Replace(strings.Replace(text, "A point needs", "The "+end.End+" needs", 1), "this place", "the "+end.End, 1)
		if end.Swapped {
			text += " Perhaps its lng and lat are swapped."
		}
	}
	return text
}

// steps are a phone's moves by the event that each yields, in the order of a
// ride, and who may make them.
var steps = []struct {
	kind trips.Kind
	by   trips.Role
	name string
}{
	{trips.KindReserved, trips.RoleDriver, "accept an offer of it"},
	{trips.KindArrived, trips.RoleDriver, "ARRIVE"},
	{trips.KindOnTrip, trips.RoleDriver, "START"},
	{trips.KindCompleted, trips.RoleDriver, "COMPLETE"},
	{trips.KindRiderCancel, trips.RoleRider, "cancel"},
	{trips.KindDriverCancel, trips.RoleDriver, "cancel"},
}

// explainMove names the trip's state and what the one who asked may do from
// there, by the table of transitions.
func explainMove(e *trips.MoveError) string {
	if !e.From.IsActive() {
		return "The trip is " + string(e.From) + ", and that is final."
	}

	var by trips.Role
	for _, s := range steps {
		if s.kind == e.Move {
			by = s.by
		}
	}

	var may []string
	for _, s := range steps {
		if _, legal := trips.NextStates[e.From][s.kind]; legal && s.by == by {
			may = append(may, s.name)
		}
	}
	if len(may) == 0 {
		return "The trip is " + string(e.From) + ": you can only wait for it to end."
	}
	return "The trip is " + string(e.From) + ": you may " + strings.Join(may, " or ") + "."
}

// explainDistance says how far the car is from where the step is made, and what
// to do.
func explainDistance(far *trips.DistanceError) string {
	away := fmt.Sprintf("%.0f m", far.Metres)
	if far.Metres >= 1000 {
		away = fmt.Sprintf("%.1f km", far.Metres/1000)
	}

	switch {
	case far.StillAtPickup:
		return "You are " + away + " from the pickup. A ride cannot end early before it has left the pickup. " +
			"Drive on, or ask the operators to cancel the trip."
	case far.Move == trips.KindCompleted:
		return "You are " + away + " from the destination. Drive on, or send the step again with early=true if the rider gets out here."
	}
	return "You are " + away + " from the pickup. Drive there, send your position (a fix), then the step again."
}

// IsUnavailable returns true if an error is a dependency's, so that it belongs
// in our log and a repeat may succeed.
func IsUnavailable(err error) bool {
	code, _ := ExplainError(err)
	return code == wire.CodeUnavailable
}
