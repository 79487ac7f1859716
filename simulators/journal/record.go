// Package journal keeps what clients saw and did, one JSON object a line, so that somebody else can hold it against what
// the servers say happened.
package journal

// What a record tells.
const (
	Begin   = "begin"   // a journal was opened
	Close   = "close"   // and closed in peace: nothing is missing
	Invoke  = "invoke"  // a command is about to be sent for the first time
	OK      = "ok"      // the node says that a command was done
	Fail    = "fail"    // the node says that a command was not done and never will be; Code says why
	Info    = "info"    // nobody said what became of a command, and the client asks no more: done once, or not at all
	Hello   = "hello"   // a connection is about to be opened; Trip, Seq and Chat are how far the client got
	Welcome = "welcome" // the node answered it; see Recovered
	Lost    = "lost"    // the connection ended, after Count positions
	Offer   = "offer"   // a trip was offered
	Event   = "event"   // a trip moved
	Chat    = "chat"    // something was said
	Receipt = "receipt" // a trip was paid
	Seen    = "seen"    // an operator has seen a call for help, the command Client on Trip
	Back    = "back"    // a position was older than one before it, by BehindMs
	Broken  = "broken"  // a frame that the node should not have sent; Text says why
	Off     = "off"     // the client ends for good
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

// Record is one line. Which fields beyond the first five are set depends on What.
type Record struct {
	What  string  `json:"what"`
	Mono  int64   `json:"mono_ns"`         // since the journal was opened, by a clock that nobody sets
	AtMs  float64 `json:"at_ms"`           // the wall's clock
	Who   string  `json:"who,omitempty"`   // ROLE:ID
	Phone string  `json:"phone,omitempty"` // one client from its start to its end, over all its connections

	Command   string  `json:"command,omitempty"` // its id
	Kind      string  `json:"kind,omitempty"`    // of a command, or of a trip event
	Code      string  `json:"code,omitempty"`
	Offer     string  `json:"offer,omitempty"` // its id
	Alert     string  `json:"alert,omitempty"` // id of a call for help
	Trip      string  `json:"trip,omitempty"`
	Seq       uint32  `json:"seq,omitempty"` // of the trip's event, or the trip's version
	State     string  `json:"state,omitempty"`
	Driver    string  `json:"driver,omitempty"`
	Chat      uint32  `json:"chat,omitempty"`   // number of a message, or of the newest one
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
