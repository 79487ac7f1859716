package gateway

import (
	"math"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func wirePoint(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }

func wireMoney(m trips.Money) *wire.Money {
	return &wire.Money{Minor: uint32(m.Minor), Currency: m.Currency}
}

// wireTrip is a trip as phones see it, on the socket and over HTTP.
func wireTrip(t trips.Trip) *wire.Trip {
	return &wire.Trip{
		Id: string(t.ID), RiderId: string(t.Rider), DriverId: string(t.Driver), State: string(t.State), Version: t.Version,
		Pickup: wirePoint(t.Pickup), Dropoff: wirePoint(t.Dropoff),
		DistanceM: float32(t.Quote.Metres), DurationS: float32(t.Quote.Duration.Seconds()), Fare: wireMoney(t.Quote.Fare),
		RouteSource: t.Quote.Source, EndReason: t.Reason,
		RequestedMs: wire.Millis(t.RequestedAt), ReservedMs: wire.Millis(t.ReservedAt), ArrivedMs: wire.Millis(t.ArrivedAt),
		StartedMs: wire.Millis(t.StartedAt), EndedMs: wire.Millis(t.EndedAt),
	}
}

func wireChat(m chat.Message) *wire.ChatMessage {
	return &wire.ChatMessage{TripId: string(m.Trip), Seq: m.Seq, From: string(m.From.Role), Text: m.Text,
		AtMs: wire.Millis(m.At), ClientId: m.ClientID}
}

func wireReceipt(c payments.Charge) *wire.Receipt {
	return &wire.Receipt{TripId: string(c.Trip), Reference: c.Reference, Amount: wireMoney(c.Amount), AtMs: wire.Millis(c.At)}
}

// strangersCar shows a car to someone who is not in it: its place to about 10 metres. An offer is the driver's own
// affair: such a driver shows as available.
func strangersCar(d sharedstate.Driver, now time.Time) *wire.Car {
	round := func(deg float64) float64 { return math.Round(deg*1e4) / 1e4 }
	status := d.Status
	if status == sharedstate.Offered {
		status = sharedstate.Available
	}
	return &wire.Car{Id: string(d.ID), Point: &wire.Point{Lng: round(d.Fix.Lng), Lat: round(d.Fix.Lat)},
		Heading: d.Fix.Heading, Speed: d.Fix.Speed, AgeS: float32(now.Sub(d.ReceivedAt).Seconds()), Status: string(status)}
}
