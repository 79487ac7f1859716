// Package journal keeps what clients saw and did, one JSON object a line, so
// that somebody else can hold it against what the servers say happened.
package journal

// What a record tells.
const (
	Begin  = "begin"  // a journal was opened
	Close  = "close"  // and closed in peace: nothing is missing
	Invoke = "invoke" // a command is about to be sent for the first time
	OK     = "ok"     // the node says that a command was done
	// the node says that a command was not done and never will be; Code says
	// why
	Fail = "fail"
	// nobody said what became of a command, and the client asks no more: done
	// once, or not at all
	Info = "info"
	// a connection is about to be opened; Trip, Seq and Chat are how far the
	// client got
	Hello   = "hello"
	Welcome = "welcome" // the node answered it; see Recovered
	Lost    = "lost"    // the connection ended, after Count positions
	Offer   = "offer"   // a trip was offered
	Event   = "event"   // a trip moved
	Chat    = "chat"    // something was said
	Receipt = "receipt" // a trip was paid
	// an operator has seen a call for help, the command Client on Trip
	Seen = "seen"
	Back = "back" // a position was older than one before it, by BehindMs
	// a frame that the node should not have sent; Text says why
	Broken = "broken"
	Off    = "off" // the client ends for good
)

// Kinds of commands.
const (
	Request   = "request"
	Accept    = "accept"
	Decline   = "decline"
	Arrive    = "arrive"
	Start     = "start"
	Complete  = "complete"
	Cancel    = "cancel"
	Say       = "say"
	Available = "available"
	SOS       = "sos"

	Acknowledge = "acknowledge" // of an operator, the call for help Alert
)

// Record is one line. Which fields beyond the first five are set depends on
// What.
type Record struct {
	What string `json:"what"`
	// since the journal was opened, by a clock that nobody sets
	Mono int64   `json:"mono_ns"`
	AtMs float64 `json:"at_ms"`         // the wall's clock
	Who  string  `json:"who,omitempty"` // ROLE:ID
	// one client from its start to its end, over all its connections
	Phone string `json:"phone,omitempty"`

	Command string `json:"command,omitempty"` // its id
	// of a command, or of a trip event
	Kind  string `json:"kind,omitempty"`
	Code  string `json:"code,omitempty"`
	Offer string `json:"offer,omitempty"` // its id
	Alert string `json:"alert,omitempty"` // id of a call for help
	Trip  string `json:"trip,omitempty"`
	// of the trip's event, or the trip's version
	Seq    uint32 `json:"seq,omitempty"`
	State  string `json:"state,omitempty"`
	Driver string `json:"driver,omitempty"`
	// number of a message, or of the newest one
	Chat      uint32  `json:"chat,omitempty"`
	From      string  `json:"from,omitempty"`   // role of who said it
	Client    string  `json:"client,omitempty"` // the sender's command id
	Recovered bool    `json:"recovered,omitempty"`
	Reference string  `json:"reference,omitempty"`
	Minor     int64   `json:"minor,omitempty"`
	Currency  string  `json:"currency,omitempty"`
	BehindMs  float64 `json:"behind_ms,omitempty"`
	Count     uint32  `json:"count,omitempty"`
	Text      string  `json:"text,omitempty"`
	Server    string  `json:"server,omitempty"` // of a hello
}
