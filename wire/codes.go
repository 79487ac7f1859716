package wire

// Code is the machine-readable answer in Ack.code and in the problem+json of
// HTTP. The empty code means success.
type Code string

const (
	// not decodable, unknown field, or no body
	CodeBadFrame Code = "bad_frame"
	// a field is missing or out of its range
	CodeBadField     Code = "bad_field"
	CodeUnauthorized Code = "unauthorized" // no token, or not a usable one
	CodeForbidden    Code = "forbidden"    // your role may not do this
	// no such trip, or not yours: the answer is the same for both
	CodeNotFound Code = "not_found"
	// the trip cannot do this from where it stands
	CodeIllegalMove Code = "illegal_move"
	// another driver has the trip, or you have another one
	CodeTaken     Code = "taken"
	CodeRiderBusy Code = "rider_busy" // you have an active trip
	// the trip moved meanwhile; read it again
	CodeConflict Code = "conflict"
	// this command id was used for another command
	CodeKeyReused Code = "key_reused"
	// expired, withdrawn, or never made to you
	CodeOfferGone   Code = "offer_gone"
	CodeOutsideCity Code = "outside_city" // we do not serve this place
	// chat text empty, too long or unprintable
	CodeBadText Code = "bad_text"
	// the trip has no chat (yet, or any more)
	CodeChatClosed Code = "chat_closed"
	// no quote of ours for you, or for another way
	CodeBadQuote     Code = "bad_quote"
	CodeQuoteExpired Code = "quote_expired" // ask for a new quote
	CodeTooMany      Code = "too_many"      // slow down
	// something we need is down; try again with the same id
	CodeUnavailable    Code = "unavailable"
	CodeInternal       Code = "internal" // our fault
	CodeMethod         Code = "method_not_allowed"
	CodeTooLarge       Code = "too_large"
	CodeNoSuchEndpoint Code = "no_such_endpoint"
)

// Close codes. Those below 4000 are from RFC 6455. Phones come back after any
// code for which ComeBack holds.
const (
	// the node is stopping; come back at once (elsewhere)
	CloseGoingAway = 1001
	CloseBadFrame  = 1002 // broken framing
	CloseBadData   = 1007 // text that is not UTF-8
	ClosePolicy    = 1008 // rate or frame limit; stay away
	CloseTooBig    = 1009 // message over the limit; stay away
	CloseInternal  = 1011 // our fault; come back
	CloseOverload  = 1013 // too many connections just now; come back later
	// no hello in time, or a bad token; stay away until you have another
	CloseNoAuth = 4401
	// the token expired or was revoked; come back with a new one
	CloseTokenEnded  = 4402
	CloseTooManyOpen = 4408 // too many connections of this user; stay away
	CloseReplaced    = 4409 // the same user connected again; stay away
	// you read too slowly and the queue is full; come back and resume
	CloseSlow = 4413
	// nothing heard from you for too long; come back and resume
	CloseSilent = 4414
)

// ComeBack reports whether a phone should reconnect after a close code. A
// connection that was lost without a code counts as yes.
func ComeBack(code int) bool {
	switch code {
	case CloseBadFrame, CloseBadData, ClosePolicy, CloseTooBig, CloseNoAuth, CloseTokenEnded, CloseTooManyOpen, CloseReplaced:
		return false
	}
	return true
}
