package gateway

import (
	"testing"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// ridden is a rider and a driver on their way to each other.
type ridden struct {
	*town
	rider, driver *phone
	trip          trips.TripID
}

// reserved lets a rider ask and a driver accept, on real phones.
func reserved(t testing.TB, c *town, riders, drivers string) ridden {
	t.Helper()
	r := ridden{town: c, rider: c.connect(trips.Rider("r"), riders, nil), driver: c.connect(trips.Driver("d"), drivers, nil)}
	r.driver.does(available(true))
	r.driver.drive()
	r.trip = trips.TripID(r.rider.does(requestFrame(market, airport)).Trip.Id)
	c.offer("o1", "d", r.trip)

	offer := has[*wire.ServerFrame_Offer](r.driver, 1)[0].Offer
	if offer.Id != "o1" || offer.Trip.Id != string(r.trip) || offer.PickupM != 120 || offer.PickupS != 20 {
		t.Errorf("offer %v", offer)
	}
	if ack := r.driver.does(answerFrame("o1", true)); ack.Trip.State != "reserved" || ack.Trip.DriverId != "d" {
		t.Errorf("accepted: %v", ack)
	}

	r.rider.events(2)
	r.driver.events(1)
	has[*wire.ServerFrame_Position](r.rider, 1) // where the car was just then
	return r
}

func TestAWholeRideOnTwoPhones(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		r := reserved(t, newTown(t, nil), riders, drivers)
		for i := range 4 {
			r.driver.drive()
			has[*wire.ServerFrame_Position](r.rider, i+1)
			r.rider.shown(uint32(i + 1))
		}

		for i, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START} {
			state := []string{"arrived", "on_trip"}[i]
			if ack := r.driver.does(stepFrame(r.trip, step)); ack.Trip.State != state || ack.Trip.Version != uint32(3+i) {
				t.Errorf("%v: %v", step, ack)
			}
		}

		chatter(t, r)
		r.driver.does(stepFrame(r.trip, wire.Step_COMPLETE))
		if seqs := r.rider.events(5); !sameUpTo(seqs, 1, 5) {
			t.Errorf("the rider saw events %v", seqs)
		}
		if seqs := r.driver.events(4); !sameUpTo(seqs, 2, 5) {
			t.Errorf("the driver saw events %v", seqs)
		}

		paid(t, r)
		if d, _ := r.drivers.Get("d"); d.Trip != "" || d.Status != "available" {
			t.Errorf("after the ride the driver is %+v", d)
		}
	})
}

// chatter says four things, two from each side, and expects both to read them
// in one order, with marks of typing.
func chatter(t *testing.T, r ridden) {
	t.Helper()
	r.rider.send(&wire.ClientFrame{Body: &wire.ClientFrame_Typing{Typing: &wire.Typing{TripId: string(r.trip)}}})
	has[*wire.ServerFrame_Typing](r.driver, 1)

	said := []string{"I stand at the gate", "which gate?", "the blue one", "two minutes"}
	for i, text := range said {
		from := []*phone{r.rider, r.driver}[i%2]
		if ack := from.does(chatFrame(r.trip, text)); ack.ChatSeq != uint32(i+1) {
			t.Errorf("%q: %v", text, ack)
		}
	}

	for _, p := range []*phone{r.rider, r.driver} {
		for i, m := range has[*wire.ServerFrame_Chat](p, len(said)) {
			if m.Chat.Seq != uint32(i+1) || m.Chat.Text != said[i] || m.Chat.From != []string{"rider", "driver"}[i%2] {
				t.Errorf("%v read %v as number %d", p.who, m.Chat, i+1)
			}
		}
	}

	if n := len(frames[*wire.ServerFrame_Typing](r.rider.sofar())); n != 0 {
		t.Errorf("the rider was told %d times of their own typing", n)
	}
}

// paid settles the trip and expects the receipt on the rider's phone alone,
// once.
func paid(t *testing.T, r ridden) {
	t.Helper()
	c := payments.Charge{Trip: r.trip, Rider: "r", Reference: payments.ChargeReference(r.trip), Amount: trips.Money{Minor: 4200, Currency: "NGN"},
		At: r.now()}
	for range 2 {
		if _, err := r.store.RecordCharge(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}

	got := has[*wire.ServerFrame_Receipt](r.rider, 1)[0].Receipt
	if got.TripId != string(r.trip) || got.Amount.Minor != 4200 || got.Reference != c.Reference {
		t.Errorf("receipt %v", got)
	}

	r.driver.settled()
	if n := len(frames[*wire.ServerFrame_Receipt](r.driver.sofar())); n != 0 {
		t.Errorf("the driver got %d receipts", n)
	}
}
