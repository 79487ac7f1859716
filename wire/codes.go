package wire

// Code is the machine-readable answer in Ack.code and in the problem+json of
// HTTP. The empty code means success.
type Code string

const (
	CodeBadFrame     Code = "bad_frame"     // not decodable, or no body
	CodeBadField     Code = "bad_field"     // a field missing or out of range
	CodeUnauthorized Code = "unauthorized"  // no token, or an unusable one
	CodeForbidden    Code = "forbidden"     // not for this role
	CodeNotFound     Code = "not_found"     // no such trip, or another's
	CodeIllegalMove  Code = "illegal_move"  // not from the trip's state
	CodeTooFar       Code = "too_far"       // the car is not at the place
	CodeNoPosition   Code = "no_position"   // send a fix, then the same id
	CodeTaken        Code = "taken"         // trip or driver is taken
	CodeRiderBusy    Code = "rider_busy"    // the rider has an active trip
	CodeConflict     Code = "conflict"      // the trip changed; read it again
	CodeKeyReused    Code = "key_reused"    // command id of another command
	CodeOfferGone    Code = "offer_gone"    // expired, withdrawn, or another's
	CodeOutsideCity  Code = "outside_city"  // a place that is not served
	CodeBadText      Code = "bad_text"      // empty, too long or unprintable
	CodeChatClosed   Code = "chat_closed"   // no driver yet, or ended long ago
	CodeBadQuote     Code = "bad_quote"     // forged, another's or another way
	CodeQuoteExpired Code = "quote_expired" // ask for a new quote
	CodeTooMany      Code = "too_many"      // over the rate limit
	CodeUnavailable  Code = "unavailable"   // try again with the same id
	CodeInternal     Code = "internal"      // a fault of the node

	CodeMethod         Code = "method_not_allowed"
	CodeTooLarge       Code = "too_large"
	CodeNoSuchEndpoint Code = "no_such_endpoint"
	CodeNotTraced      Code = "not_traced" // the hops of this trip are not kept
)

// FixReason says in FixRefused.reason why a fix was not believed.
type FixReason string

const (
	FixForbidden  FixReason = "forbidden"       // riders send no fixes
	FixNoPoint    FixReason = "no_point"        // it has no point
	FixBadNumber  FixReason = "bad_number"      // a number that is none
	FixOutOfRange FixReason = "out_of_range"    // perhaps lng and lat swapped
	FixInaccurate FixReason = "inaccurate"      // accuracy too bad
	FixFromFuture FixReason = "from_the_future" // at_ms ahead of the node
	FixTooOld     FixReason = "too_old"         // perhaps seconds in at_ms
	FixNotNewer   FixReason = "not_newer"       // than the last believed one
	FixTooSoon    FixReason = "too_soon"        // after the last believed one
	FixTooFast    FixReason = "too_fast"        // no car drives like that
)

// Values of Welcome.no_offers_because: why a driver gets no offers as things
// stand. Empty means that offers may come.
const (
	NoOffersOnTrip     = "on_trip"     // until the trip has ended
	NoOffersOffDuty    = "off_duty"    // until set_available is sent
	NoOffersNoPosition = "no_position" // until a fix is believed
)

// Close codes. Those below 4000 are from RFC 6455. Phones reconnect after any
// code for which ShouldReconnect holds.
const (
	CloseGoingAway   = 1001 // the node stops: reconnect at once
	CloseBadFrame    = 1002 // broken framing: stay away
	CloseBadData     = 1007 // text that is not UTF-8: stay away
	ClosePolicy      = 1008 // over the rate or frame limit: stay away
	CloseTooBig      = 1009 // message over the size limit: stay away
	CloseInternal    = 1011 // a fault of the node: reconnect
	CloseOverload    = 1013 // too many connections: reconnect later
	CloseNoAuth      = 4401 // no hello in time, or a bad token: stay away
	CloseTokenEnded  = 4402 // token expired or revoked: get a new one first
	CloseTooManyOpen = 4408 // too many connections of the user: stay away
	CloseReplaced    = 4409 // the user connected again: stay away
	CloseSlow        = 4413 // the queue is full: reconnect and resume
	CloseSilent      = 4414 // nothing received for too long: reconnect
)

// ShouldReconnect reports whether a phone should reconnect after a close code.
// A connection that was lost without a code counts as yes.
func ShouldReconnect(code int) bool {
	switch code {
	case CloseBadFrame, CloseBadData, ClosePolicy, CloseTooBig, CloseNoAuth, CloseTokenEnded, CloseTooManyOpen, CloseReplaced:
		return false
	}
	return true
}
