// Package journal keeps what clients saw and did, one JSON object per line. A
// checker compares it with what the servers claim.
package journal

// The values of Record.What.
const (
	Begin   = "begin"   // A journal was opened.
	Close   = "close"   // It was closed in order: nothing is missing.
	Invoke  = "invoke"  // A command is about to be sent for the first time.
	OK      = "ok"      // The node answered that a command was done.
	Fail    = "fail"    // It never was nor will be done; Code says why.
	Info    = "info"    // Result unknown for good: done once or never.
	Hello   = "hello"   // A connection is about to be opened.
	Welcome = "welcome" // The node answered the hello; see Recovered.
	Lost    = "lost"    // The connection ended, after Count positions.
	Offer   = "offer"   // A trip was offered.
	Event   = "event"   // A trip moved.
	Chat    = "chat"    // A chat message arrived.
	Receipt = "receipt" // A trip was paid.
	Seen    = "seen"    // An operator saw the call for help Client on Trip.
	Back    = "back"    // A position was BehindMs older than a prior one.
	Broken  = "broken"  // The node sent an illegal frame; Text says why.
	Off     = "off"     // The client ends for good.
)

// The kinds of commands.
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

	Acknowledge = "acknowledge" // Of an operator, the call for help Alert.
)

// Record is one line. Which fields are set beyond the first five depends on
// What. In a Hello, Trip, Seq and Chat are how far the client got.
type Record struct {
	What  string  `json:"what"`
	Mono  int64   `json:"mono_ns"`         // Since Create, monotonic clock.
	AtMs  float64 `json:"at_ms"`           // By the wall clock.
	Who   string  `json:"who,omitempty"`   // ROLE:ID
	Phone string  `json:"phone,omitempty"` // One client, all connections.

	Command   string  `json:"command,omitempty"` // Its id.
	Kind      string  `json:"kind,omitempty"`    // Of a command or event.
	Code      string  `json:"code,omitempty"`
	Offer     string  `json:"offer,omitempty"` // Its id.
	Alert     string  `json:"alert,omitempty"` // Id of a call for help.
	Trip      string  `json:"trip,omitempty"`
	Seq       uint32  `json:"seq,omitempty"` // Of the event, or trip version.
	State     string  `json:"state,omitempty"`
	Driver    string  `json:"driver,omitempty"`
	Chat      uint32  `json:"chat,omitempty"`   // Number of this or the newest.
	From      string  `json:"from,omitempty"`   // Role of the author.
	Client    string  `json:"client,omitempty"` // The sender's command id.
	Recovered bool    `json:"recovered,omitempty"`
	Reference string  `json:"reference,omitempty"`
	Minor     int64   `json:"minor,omitempty"`
	Currency  string  `json:"currency,omitempty"`
	BehindMs  float64 `json:"behind_ms,omitempty"`
	Count     uint32  `json:"count,omitempty"`
	Text      string  `json:"text,omitempty"`
	Server    string  `json:"server,omitempty"` // Of a hello.
}
