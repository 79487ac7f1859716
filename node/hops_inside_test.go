package node

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/clock"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// openTracedNode is openNode with a tracer that records all trips.
func openTracedNode(t *testing.T) *Node {
	t.Helper()
	return openNodeWith(t, Config{TraceRatio: 1, OnTripEvent: func(trips.Event) {}})
}

func newTracer(t *testing.T, ratio float64) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: "n", Ratio: ratio, Now: clock.New(0).Now})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func TestTwoPositionsASecondAreRecorded(t *testing.T) {
	s, trip := newFixSampler(newTracer(t, 1)), trips.TripID(uuid.NewString())
	at := time.UnixMilli(1_000_000)
	recorded := 0
	for i := range 50 { // five seconds, ten a second
		if s.samples("dayo", trip, at.Add(time.Duration(i)*100*time.Millisecond)) {
			recorded++
		}
	}
	if recorded != 10 {
		t.Errorf("%d positions of five seconds", recorded)
	}

	if s.samples("dayo", trip, at.Add(4900*time.Millisecond)) || !s.samples("dayo", trips.TripID(uuid.NewString()), at.Add(4900*time.Millisecond)) {
		t.Error("the same position is recorded again, or the first of the next trip is not")
	}
	for i := range 3 * maxSampledCars {
		s.samples(trips.DriverID(fmt.Sprint(i)), trip, at)
	}
	if len(s.last) > maxSampledCars {
		t.Errorf("%d cars are remembered", len(s.last))
	}
}

func TestPositionsThatAreNotSampledAreNotRemembered(t *testing.T) {
	trip := trips.TripID(uuid.NewString())
	for _, tracer := range []*tracing.Tracer{nil, newTracer(t, 1e-12)} {
		s := newFixSampler(tracer)
		if n := testing.AllocsPerRun(100, func() { s.samples("dayo", trip, time.Time{}) }); n != 0 || len(s.last) != 0 {
			t.Errorf("%v allocations, and %d cars are remembered", n, len(s.last))
		}
	}
}

// TestTheNodeOfADriverThatDiesIsSeenWhereTheRiderIs: the dead node itself tells
// nothing.
func TestTheNodeOfADriverThatDiesIsSeenWhereTheRiderIs(t *testing.T) {
	n := openTracedNode(t)
	watched, other := uuid.NewString(), uuid.NewString()
	for id, trip := range map[trips.DriverID]string{"dayo": watched, "abike": other} {
		n.drivers.ApplyReplica(sharedstate.Driver{ID: id, Node: "x", Connected: true, Status: sharedstate.OnTrip, Trip: trips.TripID(trip),
			ReceivedAt: time.Now(), Fix: location.Fix{Seq: 1, At: time.Now(), Point: location.Point{Lng: 3.4, Lat: 6.45}, Accuracy: 5}})
	}
	n.fleet.watched["dayo"] = true
	n.fleet.dropNode("x")

	hops := n.tracer.Ring().HopsOf(watched)
	if len(hops) != 1 || hops[0].Name != tracing.NodeGone.Name || hops[0].Phase != tracing.Takeover || hops[0].Ended <= hops[0].Began {
		t.Errorf("recorded %+v", hops)
	}
	if hops := n.tracer.Ring().HopsOf(other); len(hops) != 0 {
		t.Errorf("of a car that no one here watches: %+v", hops)
	}
}

func TestAnOfferWithinTheNodeIsACallInMemory(t *testing.T) {
	n := openTracedNode(t)
	o := dispatch.Offer{ID: "o1", Nth: 3, Driver: "dayo", Node: "n", Trip: trips.Trip{ID: trips.TripID(uuid.NewString())}}
	if err := n.offers.SendOffer(t.Context(), o); !errors.Is(err, dispatch.ErrUnreachable) {
		t.Fatal(err)
	}
	hops := n.tracer.Ring().HopsOf(string(o.Trip.ID))
	if len(hops) != 1 {
		t.Fatalf("recorded %+v", hops)
	}
	if h := hops[0]; h.Name != "offer_sent" || h.Mechanism != tracing.Memory || h.Code != "unreachable" || !h.Failed || h.Nth != 3 || h.Key != "offer:o1" {
		t.Errorf("recorded %+v", h)
	}
}

func TestAnAnswerThatRedisDoesNotTakeIsAFailure(t *testing.T) {
	n := openTracedNode(t)
	o := dispatch.Offer{ID: "o1", Nth: 1, Driver: "dayo", Node: "x", Trip: trips.Trip{ID: trips.TripID(uuid.NewString())}}
	n.offers.sendDeclined(o)
	n.offers.receiveMessage(events.Message{Topic: topicDeclined, Payload: []byte(`{"offer":{"id":"o2","nth":1,"trip":{"id":"` + string(o.Trip.ID) + `"}}}`)})

	away, err := events.OpenEmbedded()
	if err = errors.Join(err, away.Close()); err != nil {
		t.Fatal(err)
	}
	n.offers.redis = away
	n.offers.sendDriverGone(o)

	var got []string
	for _, h := range n.tracer.Ring().HopsOf(string(o.Trip.ID)) {
		got = append(got, fmt.Sprint(h.Name, " ", h.To, " ", h.Key, h.Cause, " ", h.Code, " ", h.Reason))
	}
	want := `["answer_sent redis declined:o1offer:o1  declined" "answer_heard dispatch declined:o2  declined" ` +
		`"answer_sent redis vanished:o1offer:o1 unavailable Redis did not take the message for node x"]`
	if fmt.Sprintf("%q", got) != want {
		t.Errorf("recorded\n%q, want\n%s", got, want)
	}
}

func TestAnOfferThatIsTakenBackFromAnotherNodeIsLinkedToItsReceipt(t *testing.T) {
	n := openTracedNode(t)
	n.drivers.ApplyReplica(sharedstate.Driver{ID: "dayo", Node: "x", Connected: true, Status: sharedstate.Available,
		ReceivedAt: time.Now(), Fix: location.Fix{Seq: 1, At: time.Now(), Point: location.Point{Lng: 3.4, Lat: 6.45}, Accuracy: 5}})
	o := dispatch.Offer{ID: "o1", Nth: 2, Driver: "dayo", Node: "n", Trip: trips.Trip{ID: trips.TripID(uuid.NewString())}}
	n.offers.WithdrawOffer(t.Context(), o, dispatch.GoneExpired)

	hops := n.tracer.Ring().HopsOf(string(o.Trip.ID))
	if len(hops) != 1 || hops[0].Name != "withdraw_sent" || hops[0].Reason != dispatch.GoneExpired || hops[0].Nth != 2 {
		t.Fatalf("recorded %+v", hops)
	}
	at := hops[0].Ended + int64(time.Millisecond)
	n.offers.receiveMessage(events.Message{Topic: topicWithdraw, Payload: []byte(hops[0].Frame), ReceivedAt: time.Unix(0, at)})
	hops = n.tracer.Ring().HopsOf(string(o.Trip.ID))
	if heard := hops[len(hops)-1]; heard.Name != "withdraw_heard" || heard.Cause != hops[0].Key || heard.Began != at {
		t.Errorf("heard %+v", heard)
	}
}

func TestAPhoneThatHasLeftIsSaidToBeGone(t *testing.T) {
	n := openTracedNode(t)
	ada := trips.Rider("ada")
	n.news.joinUser(ada)
	user := events.UserChannel(ada)
	before := n.describeUse(user)
	n.news.leaveUser(ada)
	for got, want := range map[string]string{
		before:                    "for the rider's phone at this node",
		n.describeUse(user):       "not used: the rider has no phone at this node any more",
		n.describeUse("node:n"):   "this node owns the pickup's region and dispatches the trip",
		n.describeUse("region:x"): "for phones at this node, on the channel of an earlier build",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
