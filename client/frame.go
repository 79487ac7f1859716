package client

import (
	"time"

	"github.com/ridehail/ridehail/wire"
)

// Body lists the messages that a phone may send, one per frame.
type Body interface {
	*wire.Hello | *wire.Fix | *wire.PositionAck | *wire.SetAvailable | *wire.AnswerOffer | *wire.RequestTrip |
		*wire.MoveTrip | *wire.CancelTrip | *wire.SendChat | *wire.Sos | *wire.Typing | *wire.WatchArea | *wire.Ping
}

// NewFrame wraps a message into a frame without an id.
func NewFrame[B Body](body B) *wire.ClientFrame {
	switch b := any(body).(type) {
	case *wire.Hello:
		return &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: b}}
	case *wire.Fix:
		return &wire.ClientFrame{Body: &wire.ClientFrame_Fix{Fix: b}}
	case *wire.PositionAck:
		return &wire.ClientFrame{Body: &wire.ClientFrame_PositionAck{PositionAck: b}}
	case *wire.SetAvailable:
		return &wire.ClientFrame{Body: &wire.ClientFrame_SetAvailable{SetAvailable: b}}
	case *wire.AnswerOffer:
		return &wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: b}}
	case *wire.RequestTrip:
		return &wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: b}}
	case *wire.MoveTrip:
		return &wire.ClientFrame{Body: &wire.ClientFrame_MoveTrip{MoveTrip: b}}
	case *wire.CancelTrip:
		return &wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: b}}
	case *wire.SendChat:
		return &wire.ClientFrame{Body: &wire.ClientFrame_SendChat{SendChat: b}}
	case *wire.Sos:
		return &wire.ClientFrame{Body: &wire.ClientFrame_Sos{Sos: b}}
	case *wire.Typing:
		return &wire.ClientFrame{Body: &wire.ClientFrame_Typing{Typing: b}}
	case *wire.WatchArea:
		return &wire.ClientFrame{Body: &wire.ClientFrame_WatchArea{WatchArea: b}}
	case *wire.Ping:
		return &wire.ClientFrame{Body: &wire.ClientFrame_Ping{Ping: b}}
	}
	return nil // Unreachable: Body has no other type.
}

// The states of a trip, as wire.Trip carries them.
const (
	StateRequested = "requested"
	StateReserved  = "reserved"
	StateArrived   = "arrived"
	StateOnTrip    = "on_trip"
	StateCompleted = "completed"
	StateExpired   = "expired"
	StateCancelled = "cancelled"
)

// IsActive reports whether a trip in this state has not ended yet.
func IsActive(state string) bool {
	switch state {
	case StateRequested, StateReserved, StateArrived, StateOnTrip:
		return true
	}
	return false
}

// ClockOffset compares the node's clock with ours from one exchange of ping and
// pong, by the formula of NTP (RFC 5905). receivedAt is when the pong arrived.
// It returns the node's clock minus ours, and the time that the exchange spent
// on the network, both in milliseconds. Of several exchanges, the one with the
// smallest roundTrip is the most exact.
func ClockOffset(p *wire.Pong, receivedAt time.Time) (offset, roundTrip float64) {
	t4 := wire.ToMillis(receivedAt)
	return ((p.T2Ms - p.T1Ms) + (p.T3Ms - t4)) / 2, (t4 - p.T1Ms) - (p.T3Ms - p.T2Ms)
}
