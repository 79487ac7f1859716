package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// snapshot is all that the store holds, as text.
func (m *memory) snapshot() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := json.Marshal([]any{m.events, m.messages, m.charges})
	if err != nil {
		panic(err) // plain structs
	}
	return string(data)
}

// startTripsInAllStates brings one trip to each of its states, each with a
// rider and a driver of its own.
func startTripsInAllStates(c *testNode) (all []trips.Trip) {
	kinds := []trips.Kind{trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted}
	for stage := range len(kinds) + 1 {
		rider, driver := trips.RiderID(fmt.Sprint("r", stage)), trips.DriverID(fmt.Sprint("d", stage))
		id := c.openTrip(rider)
		c.moveTrip(driver, id, kinds[:stage]...)
		if stage > 0 {
			c.sendChat(trips.Rider(rider), id, "the gate code is 4711")
		}

		t, err := c.store.Trip(c.t.Context(), id)
		if err != nil {
			c.t.Fatal(err)
		}

		all = append(all, t)
	}

	return all
}

// Everyone who has a trip, and everyone who only has the name of such a person
// in the other role, tries every action on every trip of the others, over HTTP
// and by socket. None has an effect, none sees anything, and each answer is the
// one they get about a trip that does not exist.
func TestNoUserReachesTheTripsOfOthers(t *testing.T) {
	c := newTestNode(t, nil)
	all := startTripsInAllStates(c)
	before, tried := c.store.snapshot(), 0
	for i := range all {
		for _, name := range []string{fmt.Sprint("r", i), fmt.Sprint("d", i)} {
			for sub, who := range map[string]trips.Actor{asProto: trips.Rider(trips.RiderID(name)), asJSONText: trips.Driver(trips.DriverID(name))} {
				p := c.connectPhone(who, sub, nil)
				for _, trip := range all {
					if !trip.Concerns(who) {
						tried += tryIntrusions(c, p, trip.ID)
					}
				}

				seesOnlyTheirOwn(c, p, all)
			}
		}
	}

	if c.store.snapshot() != before {
		t.Error("a stranger had an effect")
	}

	t.Logf("%d actions were refused", tried)
}

// tryIntrusions tries every action on a trip that is not the phone's user's.
func tryIntrusions(c *testNode, p *phone, id trips.TripID) (tried int) {
	c.t.Helper()

	for _, f := range []func(trips.TripID) *wire.ClientFrame{
		func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_ARRIVE) },
		func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_START) },
		func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_COMPLETE) },
		earlyFrame,
		cancelFrame,
		func(id trips.TripID) *wire.ClientFrame { return chatFrame(id, "psst") },
	} {
		want := wire.CodeNotFound
		if p.who.Role == trips.RoleRider && f(id).GetMoveTrip() != nil {
			want = wire.CodeForbidden
		}

		p.asked++
		theirs, none := p.askCommand(fmt.Sprint("theirs ", p.asked), f(id)), p.askCommand(fmt.Sprint("none ", p.asked), f("none"))
		if theirs.Code != string(want) || theirs.Message != none.Message || theirs.Trip != nil || theirs.ChatSeq != 0 {
			c.t.Errorf("%v asked %v: %v; about no trip: %v", p.who, f(id), theirs, none)
		}

		tried++
	}
	p.sendFrame(&wire.ClientFrame{Body: &wire.ClientFrame_Typing{Typing: &wire.Typing{TripId: string(id)}}})

	for _, x := range []struct{ method, path string }{
		{"GET", "/v1/trips/%s"}, {"GET", "/v1/trips/%s/chat"}, {"POST", "/v1/trips/%s/cancel"},
	} {
		theirs := c.callHTTP(p.who, x.method, fmt.Sprintf(x.path, id), "")
		none := c.callHTTP(p.who, x.method, fmt.Sprintf(x.path, "none"), "")
		if theirs.Code != http.StatusNotFound || theirs.Body.String() != none.Body.String() {
			c.t.Errorf("%v %s "+x.path+": %d %s; about no trip: %s", p.who, x.method, id, theirs.Code, theirs.Body, none.Body)
		}
		tried++
	}
	return tried + 1
}

// seesOnlyTheirOwn looks for other people's trips in everything the user was
// sent or may list.
func seesOnlyTheirOwn(c *testNode, p *phone, all []trips.Trip) {
	c.t.Helper()
	p.awaitHandled()
	seen := new(strings.Builder)
	for _, f := range p.framesSoFar() {
		seen.WriteString(prototext.Format(f))
	}
	for _, path := range []string{"/v1/trips", "/v1/receipts", "/v1/nearby?lng=3.38&lat=6.45"} {
		seen.WriteString(c.callHTTP(p.who, "GET", path, "").Body.String())
	}

	for _, trip := range all {
		if !trip.Concerns(p.who) && strings.Contains(seen.String(), string(trip.ID)) {
			c.t.Errorf("%v sees trip %s of %s", p.who, trip.ID, trip.Rider)
		}
	}

	if p.who.Role == trips.RoleRider && strings.HasPrefix(p.who.ID, "d") && strings.Contains(seen.String(), "4711") {
		c.t.Errorf("%v reads the chat of a driver with the same name", p.who)
	}
}

// wholeRide takes the ride of r to its end by what the phones send.
func (r reservedRide) wholeRide() {
	r.t.Helper()
	r.driver.mustDo(chatFrame(r.trip, "on my way"))
	r.rider.mustDo(chatFrame(r.trip, "at the gate"))

	for _, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		if step == wire.Step_COMPLETE {
			r.driver.driveTo(airport)
		}
		r.driver.mustDo(stepFrame(r.trip, step))
	}

	r.rider.awaitFrames("the end", hasTripEnded)
}

func TestARecordedSessionPlayedAgainHasNoEffect(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTestNode(t, nil)
		r := newReservedRide(t, c, riders, drivers)
		r.wholeRide()
		before, believed := c.store.snapshot(), c.countFixes("accepted")
		car, _ := c.drivers.Get("d")

		for _, p := range []*phone{r.driver, r.rider} {
			// With the token that was recorded as well.
			again := c.connectUnwelcomed(p.conn.Subprotocol(), p.who)
			again.codec = p.codec
			again.replayFrames(p.said)

			for _, a := range bodiesOf[*wire.ServerFrame_Ack](again.framesSoFar()) {
				if was := acksOf(p.framesSoFar(), a.Ack.Id); len(was) != 1 || was[0].Code != "" || a.Ack.Code != "" {
					t.Errorf("%v is answered %v again, was %v", p.who, a.Ack, was)
				}
			}
		}

		// With a token of their own.
		thief := c.connectPhone(trips.Driver("thief"), drivers, nil)
		thief.replayFrames(r.driver.said[1:])

		for _, a := range bodiesOf[*wire.ServerFrame_Ack](thief.framesSoFar()) {
			if a.Ack.Trip != nil || a.Ack.ChatSeq != 0 {
				t.Errorf("the thief is answered %v", a.Ack)
			}
		}

		if c.store.snapshot() != before {
			t.Error("what was played again had an effect")
		}
		now, _ := c.drivers.Get("d")
		if stolen := c.countFixes("accepted") - believed; now.Fix != car.Fix || stolen > int(r.driver.fixes) {
			t.Errorf("the car went from %v to %v; %d fixes were believed again", car.Fix, now.Fix, stolen)
		}
	})
}

// replayFrames sends what was recorded and waits until all is answered.
func (p *phone) replayFrames(said [][]byte) {
	p.t.Helper()
	kind, commands := p.messageKind(), 0
	for _, data := range said {
		var f wire.ClientFrame
		if err := p.codec.Decode(data, &f); err != nil {
			p.t.Fatal(err)
		}
		if f.Id != "" {
			commands++
		}
		p.writeMessage(kind, data)
		awaitBodies[*wire.ServerFrame_Ack](p, commands)
	}

	p.awaitHandled()
}

// A client cannot say what a ride costs, how far it goes or where it stands: a
// frame that tries is not taken at all, and the fare stays what the node
// computed.
func TestNumbersAClientMakesUpChangeNoFare(t *testing.T) {
	c := newTestNode(t, nil)
	r := newReservedRide(t, c, asJSONText, asJSONText)
	quote := airQuote(market, airport)
	bodies := map[*phone][]string{
		r.rider: {`"request_trip":{%s"pickup":{"lng":3.38,"lat":6.45},"dropoff":{"lng":3.4,"lat":6.5}}`},
		r.driver: {`"move_trip":{%s"trip_id":"` + string(r.trip) + `","step":"COMPLETE"}`, `"answer_offer":{%s"offer_id":"o1","accept":true}`,
			`"move_trip":{%s"trip_id":"` + string(r.trip) + `","step":7}`},
	}

	before, tried := c.store.snapshot(), 0
	fields := new(wire.Trip).ProtoReflect().Descriptor().Fields()
	for p, list := range bodies {
		for _, body := range list {
			for i := range fields.Len() {
				name := string(fields.Get(i).Name())
				for _, value := range []string{"0", "-1", "1e9", `"NaN"`, `{"minor":1,"currency":"NGN"}`} {
					if name == "pickup" || name == "dropoff" {
						continue // two of a name: refused as such below
					}
					n := len(bodiesOf[*wire.ServerFrame_Ack](p.framesSoFar()))
					p.writeMessage(p.messageKind(), []byte(fmt.Sprintf(`{"id":"t%d",`+body+`}`, tried, `"`+name+`":`+value+`,`)))
					if a := awaitBodies[*wire.ServerFrame_Ack](p, n+1)[n].Ack; a.Code != string(wire.CodeBadFrame) {
						t.Errorf("%s %s: %v", name, value, a)
					}
					tried++
				}
			}
		}
	}

	for _, field := range []string{"fare", "distance_m", "duration_s", "amount", "version"} {
		w := c.callHTTP(trips.Rider("other"), "POST", "/v1/trips", `{"`+field+`":1,`+ride[1:])
		if w.Code != http.StatusBadRequest {
			t.Errorf("POST with %s: %d %s", field, w.Code, w.Body)
		}
	}

	if c.store.snapshot() != before {
		t.Error("a made-up number had an effect")
	}
	r.wholeRide()
	if trip, err := c.store.Trip(t.Context(), r.trip); err != nil || trip.Quote.Fare != quote.Fare || trip.State != trips.Completed {
		t.Errorf("the trip costs %v, quoted %v; %v", trip.Quote.Fare, quote.Fare, err)
	}
	t.Logf("%d frames were refused", tried)
}
