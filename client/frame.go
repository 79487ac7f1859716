package client

import (
	"time"

	"github.com/ridehail/ridehail/wire"
)

// Body is what a phone may send.
type Body interface {
	*wire.Hello | *wire.Fix | *wire.PositionAck | *wire.SetAvailable | *wire.AnswerOffer | *wire.RequestTrip |
		*wire.MoveTrip | *wire.CancelTrip | *wire.SendChat | *wire.Sos | *wire.Typing | *wire.WatchArea | *wire.Ping
}

// NewFrame puts a body into a frame without an id.
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
	return nil // Body has no other
}

// States of a trip, as frames carry them.
const (
	StateRequested = "requested"
	StateReserved  = "reserved"
	StateArrived   = "arrived"
	StateOnTrip    = "on_trip"
	StateCompleted = "completed"
	StateExpired   = "expired"
	StateCancelled = "cancelled"
)

// IsActive says whether a trip in a state is still under way.
func IsActive(state string) bool {
	switch state {
	case StateRequested, StateReserved, StateArrived, StateOnTrip:
		return true
	}
	return false
}

// ClockOffset returns the node's clock minus ours and how long the exchange was
// under way, both in milliseconds. got is when the pong came. Of several
// exchanges the quickest says the most. The formula is NTP's.
func ClockOffset(p *wire.Pong, got time.Time) (offset, roundTrip float64) {
	t4 := wire.ToMillis(got)
	return ((p.T2Ms - p.T1Ms) + (p.T3Ms - t4)) / 2, (t4 - p.T1Ms) - (p.T3Ms - p.T2Ms)
}
