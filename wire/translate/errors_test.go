package translate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"

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

const (
	noTrip      = "You have no such trip; list yours with GET /v1/trips."
	badPoint    = "A point needs lng in [-180, 180] and lat in [-90, 90]."
	unavailable = "Something we need is down just now; try again with the same id."
)

func TestEachDomainErrorHasOneCodeAndOneText(t *testing.T) {
	for _, c := range []struct {
		err  error
		code wire.Code
		text string
	}{
		{trips.ErrNotYours, wire.CodeNotFound, noTrip},
		{trips.ErrNotFound, wire.CodeNotFound, noTrip},
		{trips.ErrTaken, wire.CodeTaken, "Another driver has this trip, or you have another one; wait for the next offer."},
		{trips.ErrRiderBusy, wire.CodeRiderBusy, "You have an active trip; cancel it or ride it to its end first."},
		{trips.ErrBadMove, wire.CodeIllegalMove, "The trip cannot do this from where it stands; read it again."},
		{trips.ErrKeyReused, wire.CodeKeyReused, "This command id was used for a different command; take a new id."},
		{trips.ErrConflict, wire.CodeConflict, "The trip moved on meanwhile; read it again, then repeat if it still makes sense."},
		{trips.ErrBadPoint, wire.CodeBadField, badPoint},
		{location.ErrPoint, wire.CodeBadField, badPoint},
		{dispatch.ErrOfferGone, wire.CodeOfferGone, "This offer expired or was withdrawn; wait for the next one."},
		{fmt.Errorf("%w: %w", dispatch.ErrOfferGone, trips.ErrAbandoned), wire.CodeOfferGone, "This offer expired or was withdrawn; wait for the next one."},
		{trips.ErrNotText, wire.CodeBadField, "A text is not UTF-8 or has a NUL character; send plain text."},
		{chat.ErrBadText, wire.CodeBadText, "A chat message is 1 to 1,000 printable characters."},
		{chat.ErrClosed, wire.CodeChatClosed, "This trip has no chat now; it opens with a driver and closes a while after the ride."},
		{sos.ErrBadText, wire.CodeBadText, "A call for help has at most 200 printable characters."},
		{sos.ErrClosed, wire.CodeIllegalMove, "The trip ended more than an hour ago; call the emergency number of your country."},
		{sos.ErrTooMany, wire.CodeTooMany, "Your calls are with the operators already; wait a minute before the next one."},
		{sos.ErrNotFound, wire.CodeNotFound, "There is no such alert; list the open ones with GET /ops/alerts."},
		{routing.ErrOutsideCity, wire.CodeOutsideCity, "We do not serve this place; choose a point near a road of the city."},
		{routing.ErrNoRoute, wire.CodeOutsideCity, "No road leads from one place to the other; choose others."},
		{routing.ErrUnavailable, wire.CodeUnavailable, unavailable},
		{booking.ErrNoPoints, wire.CodeBadField, `Give both "pickup" and "dropoff", each with lng and lat.`},
		{booking.ErrOtherRoute, wire.CodeBadQuote, "The quote is for another way; leave pickup and dropoff out, or ask for a new quote."},
		{pricing.ErrBadQuote, wire.CodeBadQuote, "This is no quote of ours for you; ask for one with POST /v1/quotes and send it as it came."},
		{pricing.ErrQuoteExpired, wire.CodeQuoteExpired, "The price was good for two minutes, and they are over; ask for a new quote."},
		{auth.ErrToken, wire.CodeUnauthorized, "Send a valid token as Authorization: Bearer TOKEN; get a new one if yours expired."},
		{auth.ErrRevoked, wire.CodeUnauthorized, "Send a valid token as Authorization: Bearer TOKEN; get a new one if yours expired."},
		{auth.ErrActor, wire.CodeBadField, `a token needs the role "driver" or "rider" and an id of 1 to 64 letters, digits and . _ -.`},
		{context.DeadlineExceeded, wire.CodeUnavailable, "Something we need is slow just now; try again with the same id."},
		{context.Canceled, wire.CodeUnavailable, "The request was given up; try again with the same id."},
		{errors.New("dial tcp 10.0.0.7: refused"), wire.CodeUnavailable, unavailable},
		{&trips.DistanceError{Move: trips.KindArrived, Metres: 1099}, wire.CodeTooFar,
			"You are 1.1 km from the pickup. Drive there, send your position (a fix), then the step again."},
		{&trips.DistanceError{Move: trips.KindCompleted, Metres: 3140}, wire.CodeTooFar,
			"You are 3.1 km from the destination. Drive on, or send the step again with early=true if the rider gets out here."},
		{&trips.DistanceError{Move: trips.KindCompleted, Metres: 41, StillAtPickup: true}, wire.CodeTooFar,
			"You are 41 m from the pickup. A ride cannot end early before it has left the pickup. Drive on, or ask the operators to cancel the trip."},
		{Refuse(wire.CodeForbidden, "Not for you."), wire.CodeForbidden, "Not for you."},
	} {
		wrapped := fmt.Errorf("trip t of rider r: %w", c.err)
		if code, text := ExplainError(wrapped); code != c.code || text != c.text {
			t.Errorf("%v is told as %s %q, want %s %q", c.err, code, text, c.code, c.text)
		}
		if IsUnavailable(wrapped) != (c.code == wire.CodeUnavailable) {
			t.Errorf("%v: a dependency's error: %v", c.err, IsUnavailable(wrapped))
		}
	}
}

// Each illegal move names the state and what the one who asked may do instead,
// as the table of transitions has it.
func TestAnIllegalMoveSaysWhereTheTripStandsAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		from trips.State
		move trips.Kind
		text string
	}{
		{trips.Requested, trips.KindRiderCancel, "The trip is requested: you may cancel."},
		{trips.Reserved, trips.KindReserved, "The trip is reserved: you may ARRIVE or cancel."},
		{trips.Reserved, trips.KindCompleted, "The trip is reserved: you may ARRIVE or cancel."},
		{trips.Reserved, trips.KindRiderCancel, "The trip is reserved: you may cancel."},
		{trips.Arrived, trips.KindArrived, "The trip is arrived: you may START or cancel."},
		{trips.OnTrip, trips.KindArrived, "The trip is on_trip: you may COMPLETE."},
		{trips.OnTrip, trips.KindDriverCancel, "The trip is on_trip: you may COMPLETE."},
		{trips.OnTrip, trips.KindRiderCancel, "The trip is on_trip: you can only wait for it to end."},
		{trips.Completed, trips.KindCompleted, "The trip is completed, and that is final."},
		{trips.Cancelled, trips.KindReserved, "The trip is cancelled, and that is final."},
		{trips.Expired, trips.KindRiderCancel, "The trip is expired, and that is final."},
	} {
		err := fmt.Errorf("apply: %w", &trips.MoveError{Trip: "t", From: c.from, Move: c.move})
		if code, text := ExplainError(err); code != wire.CodeIllegalMove || text != c.text {
			t.Errorf("%s of a trip that is %s: %s %q, want %q", c.move, c.from, code, text, c.text)
		}
	}
}

func TestAnErrorAboutOneEndOfAWayNamesIt(t *testing.T) {
	for _, c := range []struct {
		err  booking.EndError
		code wire.Code
		text string
	}{
		{booking.EndError{End: "pickup", Err: routing.ErrOutsideCity}, wire.CodeOutsideCity,
			"We do not serve the pickup; choose a point near a road of the city."},
		{booking.EndError{End: "dropoff", Swapped: true, Err: routing.ErrOutsideCity}, wire.CodeOutsideCity,
			"We do not serve the dropoff; choose a point near a road of the city. Perhaps its lng and lat are swapped."},
		{booking.EndError{End: "dropoff", Err: location.ErrPoint}, wire.CodeBadField,
			"The dropoff needs lng in [-180, 180] and lat in [-90, 90]."},
	} {
		if code, text := ExplainError(&c.err); code != c.code || text != c.text {
			t.Errorf("%v: %s %q, want %s %q", &c.err, code, text, c.code, c.text)
		}
	}
}

// refusedElsewhere are the codes that no domain error has: a socket or HTTP
// refuses a message by itself.
var refusedElsewhere = map[wire.Code]string{
	wire.CodeBadFrame:       "the message cannot be decoded",
	wire.CodeForbidden:      "the endpoint or command is for the other role",
	wire.CodeInternal:       "a handler of HTTP panicked",
	wire.CodeMethod:         "HTTP only",
	wire.CodeTooLarge:       "HTTP only: a socket is closed instead",
	wire.CodeNoSuchEndpoint: "HTTP only",
	wire.CodeNotTraced:      "HTTP only: the X-ray of a trip that was not sampled",
}

func TestEveryCodeOfTheProtocolIsTheCodeOfSomeError(t *testing.T) {
	source, err := os.ReadFile("../codes.go")
	if err != nil {
		t.Fatal(err)
	}

	// of unknown errors
	reached := map[wire.Code]bool{wire.CodeUnavailable: true}
	for _, a := range answers {
		reached[a.code] = true
	}

	codes := regexp.MustCompile(`\tCode\w+ +(?:Code )?= "(\w+)"`).FindAllSubmatch(source, -1)
	if len(codes) < 20 {
		t.Fatalf("only %d codes were found in wire/codes.go", len(codes))
	}

	for _, c := range codes {
		code := wire.Code(c[1])
		if why := refusedElsewhere[code]; reached[code] == (why != "") {
			t.Errorf("code %s: an error has it: %v; refused elsewhere: %q", code, reached[code], why)
		}
	}
}
