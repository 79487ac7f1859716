package gateway

import (
	"testing"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// reservedRide is a rider and a driver on their way to each other.
type reservedRide struct {
	*testNode
	rider, driver *phone
	trip          trips.TripID
}

// newReservedRide lets a rider ask and a driver accept, on real phones.
func newReservedRide(t testing.TB, c *testNode, riders, drivers string) reservedRide {
	t.Helper()
	r := reservedRide{testNode: c, rider: c.connectPhone(trips.Rider("r"), riders, nil), driver: c.connectPhone(trips.Driver("d"), drivers, nil)}
	r.driver.mustDo(availableFrame(true))
	r.driver.driveOn()
	r.trip = trips.TripID(r.rider.mustDo(requestFrame(market, airport)).Trip.Id)
	c.sendOffer("o1", "d", r.trip)

	offer := awaitBodies[*wire.ServerFrame_Offer](r.driver, 1)[0].Offer
	if offer.Id != "o1" || offer.Trip.Id != string(r.trip) || offer.PickupM != 120 || offer.PickupS != 20 {
		t.Errorf("offer %v", offer)
	}
	if ack := r.driver.mustDo(answerFrame("o1", true)); ack.Trip.State != "reserved" || ack.Trip.DriverId != "d" {
		t.Errorf("accepted: %v", ack)
	}

	r.rider.awaitEvents(2)
	r.driver.awaitEvents(1)

	// where the car was just then
	awaitBodies[*wire.ServerFrame_Position](r.rider, 1)
	return r
}

func TestAWholeRideOnTwoPhones(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		for i := range 4 {
			r.driver.driveOn()
			awaitBodies[*wire.ServerFrame_Position](r.rider, i+1)
			r.rider.ackPositions(uint32(i + 1))
		}

		for i, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START} {
			state := []string{"arrived", "on_trip"}[i]
			if ack := r.driver.mustDo(stepFrame(r.trip, step)); ack.Trip.State != state || ack.Trip.Version != uint32(3+i) {
				t.Errorf("%v: %v", step, ack)
			}
		}

		chatBothWays(t, r)
		r.driver.driveTo(airport)
		r.driver.mustDo(stepFrame(r.trip, wire.Step_COMPLETE))
		if seqs := r.rider.awaitEvents(5); !sameUpTo(seqs, 1, 5) {
			t.Errorf("the rider saw events %v", seqs)
		}
		if seqs := r.driver.awaitEvents(4); !sameUpTo(seqs, 2, 5) {
			t.Errorf("the driver saw events %v", seqs)
		}

		payRide(t, r)
		if d, _ := r.drivers.Get("d"); d.Trip != "" || d.Status != "available" {
			t.Errorf("after the ride the driver is %+v", d)
		}
	})
}

// chatBothWays says four things, two from each side, and expects both to read
// them in one order, with marks of typing.
func chatBothWays(t *testing.T, r reservedRide) {
	t.Helper()
	r.rider.sendFrame(&wire.ClientFrame{Body: &wire.ClientFrame_Typing{Typing: &wire.Typing{TripId: string(r.trip)}}})
	awaitBodies[*wire.ServerFrame_Typing](r.driver, 1)

	said := []string{"I stand at the gate", "which gate?", "the blue one", "two minutes"}
	for i, text := range said {
		from := []*phone{r.rider, r.driver}[i%2]
		if ack := from.mustDo(chatFrame(r.trip, text)); ack.ChatSeq != uint32(i+1) {
			t.Errorf("%q: %v", text, ack)
		}
	}

	for _, p := range []*phone{r.rider, r.driver} {
		for i, m := range awaitBodies[*wire.ServerFrame_Chat](p, len(said)) {
			if m.Chat.Seq != uint32(i+1) || m.Chat.Text != said[i] || m.Chat.From != []string{"rider", "driver"}[i%2] {
				t.Errorf("%v read %v as number %d", p.who, m.Chat, i+1)
			}
		}
	}

	if n := len(bodiesOf[*wire.ServerFrame_Typing](r.rider.framesSoFar())); n != 0 {
		t.Errorf("the rider was told %d times of their own typing", n)
	}
}

// payRide settles the trip and expects the receipt on the rider's phone alone,
// once.
func payRide(t *testing.T, r reservedRide) {
	t.Helper()
	c := payments.Charge{Trip: r.trip, Rider: "r", Reference: payments.ChargeReference(r.trip), Amount: trips.Money{Minor: 4200, Currency: "NGN"},
		At: r.now()}
	for range 2 {
		if _, err := r.store.RecordCharge(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}

	got := awaitBodies[*wire.ServerFrame_Receipt](r.rider, 1)[0].Receipt
	if got.TripId != string(r.trip) || got.Amount.Minor != 4200 || got.Reference != c.Reference {
		t.Errorf("receipt %v", got)
	}

	r.driver.awaitHandled()
	if n := len(bodiesOf[*wire.ServerFrame_Receipt](r.driver.framesSoFar())); n != 0 {
		t.Errorf("the driver got %d receipts", n)
	}
}
