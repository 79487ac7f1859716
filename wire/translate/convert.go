package translate

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

// EncodePoint encodes a point.
func EncodePoint(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }

// DecodePoint returns a phone's point, unchecked; nil is the one at zero.
func DecodePoint(p *wire.Point) location.Point {
	return location.Point{Lng: p.GetLng(), Lat: p.GetLat()}
}

func encodeMoney(m trips.Money) *wire.Money {
	return &wire.Money{Minor: uint32(m.Minor), Currency: m.Currency}
}

// EncodeTrip encodes a trip, for the socket and for HTTP.
func EncodeTrip(t trips.Trip) *wire.Trip {
	return &wire.Trip{
		Id: string(t.ID), RiderId: string(t.Rider), DriverId: string(t.Driver), State: string(t.State), Version: t.Version,
		Pickup: EncodePoint(t.Pickup), Dropoff: EncodePoint(t.Dropoff),
		DistanceM: float32(t.Quote.Metres), DurationS: float32(t.Quote.Duration.Seconds()), Fare: encodeMoney(t.Quote.Fare),
		RouteSource: t.Quote.Source, EndReason: t.Reason,
		RequestedMs: wire.ToMillis(t.RequestedAt), ReservedMs: wire.ToMillis(t.ReservedAt), ArrivedMs: wire.ToMillis(t.ArrivedAt),
		StartedMs: wire.ToMillis(t.StartedAt), EndedMs: wire.ToMillis(t.EndedAt),
	}
}

// EncodeChat encodes a chat message.
func EncodeChat(m chat.Message) *wire.ChatMessage {
	return &wire.ChatMessage{TripId: string(m.Trip), Seq: m.Seq, From: string(m.From.Role), Text: m.Text,
		AtMs: wire.ToMillis(m.At), ClientId: m.ClientID}
}

// EncodeReceipt encodes a charge for its rider.
func EncodeReceipt(c payments.Charge) *wire.Receipt {
	return &wire.Receipt{TripId: string(c.Trip), Reference: c.Reference, Amount: encodeMoney(c.Amount), AtMs: wire.ToMillis(c.At)}
}

// EncodeStrangersCar encodes a car for users who do not ride in it: its place
// to about 10 metres. An offer is the driver's own affair: such a driver shows
// as available.
func EncodeStrangersCar(d sharedstate.Driver, now time.Time) *wire.Car {
	round := func(deg float64) float64 { return math.Round(deg*1e4) / 1e4 }
	status := d.Status
	if status == sharedstate.Offered {
		status = sharedstate.Available
	}
	return &wire.Car{Id: string(d.ID), Point: &wire.Point{Lng: round(d.Fix.Lng), Lat: round(d.Fix.Lat)},
		Heading: d.Fix.Heading, Speed: d.Fix.Speed, AgeS: float32(now.Sub(d.ReceivedAt).Seconds()), Status: string(status)}
}
