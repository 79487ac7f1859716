package wire

// Code is the machine-readable answer in Ack.code and in the problem+json of HTTP. Empty means done.
type Code string

const (
	CodeBadFrame       Code = "bad_frame"     // not decodable, unknown field, or no body
	CodeBadField       Code = "bad_field"     // a field is missing or out of its range
	CodeUnauthorized   Code = "unauthorized"  // no token, or not a usable one
	CodeForbidden      Code = "forbidden"     // your role may not do this
	CodeNotFound       Code = "not_found"     // no such trip, or not yours: the answer is the same for both
	CodeIllegalMove    Code = "illegal_move"  // the trip cannot do this from where it stands
	CodeTaken          Code = "taken"         // another driver has the trip, or you have another one
	CodeRiderBusy      Code = "rider_busy"    // you have an active trip
	CodeConflict       Code = "conflict"      // the trip moved meanwhile; read it again
	CodeKeyReused      Code = "key_reused"    // this command id was used for another command
	CodeOfferGone      Code = "offer_gone"    // expired, withdrawn, or never made to you
	CodeOutsideCity    Code = "outside_city"  // we do not serve this place
	CodeBadText        Code = "bad_text"      // chat text empty, too long or unprintable
	CodeChatClosed     Code = "chat_closed"   // the trip has no chat (yet, or any more)
	CodeBadQuote       Code = "bad_quote"     // no quote of ours for you, or for another way
	CodeQuoteExpired   Code = "quote_expired" // ask for a new quote
	CodeTooMany        Code = "too_many"      // slow down
	CodeUnavailable    Code = "unavailable"   // something we need is down; try again with the same id
	CodeInternal       Code = "internal"      // our fault
	CodeMethod         Code = "method_not_allowed"
	CodeTooLarge       Code = "too_large"
	CodeNoSuchEndpoint Code = "no_such_endpoint"
)

// Close codes. Those below 4000 are from RFC 6455. Phones come back after any code for which ComeBack holds.
const (
	CloseGoingAway   = 1001 // the node is stopping; come back at once (elsewhere)
	CloseBadFrame    = 1002 // broken framing
	CloseBadData     = 1007 // text that is not UTF-8
	ClosePolicy      = 1008 // rate or frame limit; stay away
	CloseTooBig      = 1009 // message over the limit; stay away
	CloseInternal    = 1011 // our fault; come back
	CloseOverload    = 1013 // too many connections just now; come back later
	CloseNoAuth      = 4401 // no hello in time, or a bad token; stay away until you have another
	CloseTokenEnded  = 4402 // the token expired or was revoked; come back with a new one
	CloseTooManyOpen = 4408 // too many connections of this user; stay away
	CloseReplaced    = 4409 // the same user connected again; stay away
	CloseSlow        = 4413 // you read too slowly and the queue is full; come back and resume
	CloseSilent      = 4414 // nothing heard from you for too long; come back and resume
)

// ComeBack says whether a phone should reconnect after a close code; no code at all (a lost connection) means yes.
func ComeBack(code int) bool {
	switch code {
	case CloseBadFrame, CloseBadData, ClosePolicy, CloseTooBig, CloseNoAuth, CloseTokenEnded, CloseTooManyOpen, CloseReplaced:
		return false
	}
	return true
}
