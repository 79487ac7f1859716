package gateway

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

func TestAQuoteIsTakenOverTheSocketToo(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, _ string) {
		c := newTestNode(t, nil)
		rider := c.connectPhone(trips.Rider("r"), riders, nil)
		way := airQuote(market, airport)
		way.Fare.Minor = 1 // the plain tariff's does not count
		token, q, err := c.quoter.SignQuote(pricing.NewQuoteID(), "r", market, airport, way)
		if err != nil {
			t.Fatal(err)
		}

		frame := func(token string) *wire.ClientFrame {
			return &wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{Quote: token}}}
		}
		if ack := rider.askCommand("1", frame(token+"x")); ack.Code != string(wire.CodeBadQuote) || ack.Message == "" {
			t.Errorf("tampered: %v", ack)
		}

		elsewhere := requestFrame(market, market)
		elsewhere.GetRequestTrip().Quote = token
		if ack := rider.askCommand("2", elsewhere); ack.Code != string(wire.CodeBadQuote) {
			t.Errorf("for another way: %v", ack)
		}
		ack := rider.askCommand("3", frame(token))
		if ack.Code != "" || int64(ack.Trip.Fare.Minor) != q.Terms.Fare.Minor || translate.DecodePoint(ack.Trip.Dropoff) != airport {
			t.Fatalf("%v, quoted %v", ack, q.Terms.Fare)
		}

		c.pass(2 * time.Minute)
		if again := rider.askCommand("3", frame(token)); again.Code != "" || again.Trip.Id != ack.Trip.Id {
			t.Errorf("repeated: %v", again)
		}
		if late := rider.askCommand("4", frame(token)); late.Code != string(wire.CodeQuoteExpired) {
			t.Errorf("late: %v", late)
		}
	})
}
