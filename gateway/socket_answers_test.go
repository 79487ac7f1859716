package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

func TestAnAreaThatIsNoneIsABadField(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, _ string) {
		c := newTestNode(t, nil)
		c.parkDriver("d", 100)
		p := c.connectBrowser(riders)
		nan, inf := math.NaN(), float32(math.Inf(1))
		radii := map[float32]bool{float32(nan): false, inf: false, -inf: false, -1: false, 0: true, 300: true}
		centres := map[*wire.Point]bool{nil: false, {Lng: nan, Lat: 6}: false, {Lng: 3, Lat: nan}: false, {Lng: 3, Lat: math.Inf(-1)}: false,
			{Lng: 181, Lat: 6}: false, {Lng: 3, Lat: 91}: false, translate.EncodePoint(market): true}

		n := 0
		for metres, isRadius := range radii {
			for centre, isCentre := range centres {
				n++
				id := fmt.Sprint("a", n)
				p.sendCommand(id, &wire.ClientFrame{Body: &wire.ClientFrame_WatchArea{WatchArea: &wire.WatchArea{Center: centre, RadiusM: metres}}})
				p.awaitHandled()

				// 0 stops, whatever the centre.
				fine := metres == 0 || isRadius && isCentre
				acks := acksOf(p.framesSoFar(), id)
				if fine != (len(acks) == 0) || !fine && (acks[0].Code != string(wire.CodeBadField) || acks[0].Message == "") {
					t.Errorf("%v m around %v was answered %v", metres, centre, acks)
				}
			}
		}

		if p.carFrames() == 0 {
			t.Error("the area that is one was not shown")
		}
	})
}

func TestADriverIsToldWhyNoOffersCome(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, _, drivers string) {
		c := newTestNode(t, nil)
		p := c.connectPhone(trips.Driver("d"), drivers, nil)
		if w := p.awaitWelcome(); w.NoOffersBecause != wire.NoOffersOffDuty {
			t.Errorf("who comes new: %v", w)
		}
		if ack := p.mustDo(availableFrame(true)); !strings.Contains(ack.Message, "no offers come until a fix is believed") {
			t.Errorf("on duty without a position: %v", ack)
		}
		if w := c.connectPhone(trips.Driver("d"), drivers, nil).awaitWelcome(); w.NoOffersBecause != wire.NoOffersNoPosition {
			t.Errorf("back without a position: %v", w)
		}

		p = c.connectPhone(trips.Driver("d"), drivers, nil)
		p.driveOn()
		if ack := p.mustDo(availableFrame(true)); ack.Message != "" {
			t.Errorf("on duty and seen: %v", ack)
		}
		if w := c.connectPhone(trips.Driver("d"), drivers, nil).awaitWelcome(); w.NoOffersBecause != "" {
			t.Errorf("back at once: %v", w)
		}
		c.pass(4 * time.Second)
		p = c.connectPhone(trips.Driver("d"), drivers, nil)
		if w := p.awaitWelcome(); w.NoOffersBecause != wire.NoOffersNoPosition {
			t.Errorf("back after four seconds: %v", w)
		}
		if ack := p.mustDo(availableFrame(false)); ack.Message != "" {
			t.Errorf("off duty: %v", ack)
		}

		rider := c.connectPhone(trips.Rider("r"), drivers, nil)
		if w := rider.awaitWelcome(); w.NoOffersBecause != "" {
			t.Errorf("a rider: %v", w)
		}
	})
}

// The app was killed in mid-trip, and its phone still knows how to resume: no
// trip is in the welcome, and no offers come.
func TestADriverWhoLeftInMidTripIsToldThatTheTripGoesOn(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		at := r.driver.resumePoint(r.trip)
		r.driver.conn.Close()
		other := newTestNode(t, func(cfg *Config) {
			cfg.Store, cfg.Trips = r.store, &trips.Service{Store: r.store, Now: cfg.Now}
		})

		for name, resume := range map[string]*wire.Resume{"recovered": at, "from nothing": nil, "of another epoch": {Epoch: "7", TripId: "x"}} {
			for _, node := range []*testNode{r.testNode, other} {
				p := node.connectPhone(trips.Driver("d"), drivers, resume)
				w := p.awaitWelcome()
				if w.NoOffersBecause != wire.NoOffersOnTrip || w.Recovered != (resume == at) || (w.Trip == nil) != w.Recovered {
					t.Errorf("%s: %v", name, w)
				}
				if ack := p.mustDo(availableFrame(true)); ack.Message != "You are on a trip; offers come when it has ended." {
					t.Errorf("%s: on duty: %v", name, ack)
				}
			}
		}
	})
}

func TestACommandThatCannotBeReadIsAnsweredUnderItsID(t *testing.T) {
	c := newTestNode(t, nil)
	long := strings.Repeat("i", 100)
	for sub, cases := range map[string][]struct{ data, id, words string }{
		asJSONText: {
			{`{"id":"1","set_available":{"availible":true}}`, "1", `This is not a frame: unknown field "availible" in "set_available", at byte 27.`},
			{`{"id":"2","set_available":{"available":"yes"}}`, "2", `This is not a frame: "set_available.available" must be true or false, at byte 44.`},
			{`{"id":"3","fix":{},"ping":{}}`, "3", `This is not a frame: it has two bodies, "fix" and "ping".`},
			{`{"id":"4","ping":{}} {}`, "4", `This is not a frame: something follows the frame, from byte 22 on.`},
			{`{"ping":[],"id":"5"}`, "5", `This is not a frame: "ping" must be an object, at byte 9.`},
			{`{"id":"` + long + `","hullo":1}`, long[:64] + "…", `This is not a frame: unknown field "hullo", at byte 109.`},
			{`{"id":"a\u0000b","hullo":1}`, "", `This is not a frame: unknown field "hullo", at byte 17.`},
			{`{"id":["6"],"ping":{}}`, "", `This is not a frame: "id" must be a string, at byte 7.`},
			{``, "", `This is not a frame: the JSON breaks off after byte 0.`},
		},
		asProto: {
			{"\x0a\x011\xfa\x7f\x00", "1", `This is not a frame: unknown field 2047, at byte 3.`},
			{"\x0a\x012\x52\x30abc", "2", `This is not a frame: the field at byte 3 breaks off.`},
			{"\x0a\x64" + long + "\xff", long[:64] + "…", `This is not a frame: no field begins at byte 102.`},
			{"\x0a\x03a\x00b\xff", "", `This is not a frame: no field begins at byte 5.`},
			{"\x0a\x02\xff\xfe", "", `This is not a frame: "id" is not UTF-8, at byte 2.`},
		},
	} {
		p := c.connectPhone(trips.Rider("r"), sub, nil)
		for i, x := range cases {
			p.writeMessage(p.messageKind(), []byte(x.data))
			ack := awaitBodies[*wire.ServerFrame_Ack](p, i+1)[i].Ack
			if ack.Code != string(wire.CodeBadFrame) || ack.Id != x.id || ack.Message != x.words {
				t.Errorf("%.80q was answered %v, want %q: %s", x.data, ack, x.id, x.words)
			}
		}
	}
}

// What is no command and not acked: each is answered in its own way, or left
// alone as the page says, and the socket stays.
func TestNoFrameIsMetWithASilenceThatThePageDoesNotTell(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		other := r.connectPhone(trips.Rider("other"), riders, nil)
		typing := &wire.ClientFrame{Body: &wire.ClientFrame_Typing{Typing: &wire.Typing{TripId: string(r.trip)}}}
		hello := &wire.ClientFrame{Id: "h", Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: "x"}}}
		hello.Id = strings.Repeat("h", 100)

		before := len(r.driver.framesSoFar())
		for _, p := range []*phone{other, r.driver} { // a stranger, and a driver, who sees no positions
			p.ackPositions(7)
			if p == other {
				p.sendFrame(typing)
			}
			p.sendFrame(&wire.ClientFrame{Body: &wire.ClientFrame_Ping{Ping: &wire.Ping{T1Ms: math.NaN()}}})
			if pong := awaitBodies[*wire.ServerFrame_Pong](p, 1)[0].Pong; !math.IsNaN(pong.T1Ms) || pong.T2Ms == 0 {
				t.Errorf("%v: a ping of no number is answered %v", p.who, pong)
			}
		}
		if n := len(r.driver.framesSoFar()); n != before+1 {
			t.Errorf("the driver heard %v", r.driver.framesSoFar()[before:])
		}

		for i, f := range []*wire.ClientFrame{hello, {}, {Id: "only an id"}} {
			other.sendFrame(f)
			ack := awaitBodies[*wire.ServerFrame_Ack](other, i+1)[i].Ack
			if ack.Code != string(wire.CodeBadFrame) || len(ack.Id) > translate.MaxID+len("…") || !strings.HasPrefix(f.Id, strings.TrimSuffix(ack.Id, "…")) {
				t.Errorf("%v is answered %v", f, ack)
			}
		}
		if ack := other.askCommand("chat", chatFrame(r.trip, "psst")); ack.Code != string(wire.CodeNotFound) {
			t.Errorf("chat to another's trip: %v", ack)
		}
		if ack := other.askCommand("duty", availableFrame(true)); ack.Code != string(wire.CodeForbidden) {
			t.Errorf("a rider on duty: %v", ack)
		}
	})
}

func TestAResumeOfNonsenseIsAFreshStart(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asJSONText)
	for name, resume := range map[string]*wire.Resume{
		"no epoch":       {TripId: string(r.trip), TripSeq: 2},
		"another epoch":  {Epoch: "\x00", TripId: string(r.trip), TripSeq: 2},
		"no such trip":   {Epoch: epoch, TripId: "\x00" + strings.Repeat("x", 1000), TripSeq: 2},
		"from the years": {Epoch: epoch, TripId: string(r.trip), TripSeq: math.MaxUint32, ChatSeq: math.MaxUint32},
	} {
		p := r.connectPhone(trips.Rider("r"), asProto, resume)
		if w := p.awaitWelcome(); w.Recovered || w.Trip.GetVersion() != 2 {
			t.Errorf("%s: %v", name, w)
		}
		p.conn.Close()
		r.awaitCondition("it is gone", func() bool { return len(r.g.sessions.OfUser(trips.Rider("r"), nil)) == 1 })
	}
}

func TestAnIllegalMoveNamesTheStateAndWhatIsAllowed(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		ack := r.driver.askCommand("early", stepFrame(r.trip, wire.Step_START))
		if ack.Code != string(wire.CodeIllegalMove) || ack.Message != "The trip is reserved: you may ARRIVE or cancel." {
			t.Errorf("a start before the arrival: %v", ack)
		}

		r.moveTrip("d", r.trip, trips.KindArrived, trips.KindOnTrip)
		ack = r.rider.askCommand("late", cancelFrame(r.trip))
		answer := r.callHTTP(trips.Rider("r"), "POST", "/v1/trips/"+string(r.trip)+"/cancel", "")
		var p problem.Details
		if err := json.Unmarshal(answer.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if want := "The trip is on_trip: you can only wait for it to end."; ack.Message != want || p.Detail != want || p.Code != wire.CodeIllegalMove {
			t.Errorf("a cancellation on the way: %v; over HTTP %+v", ack, p)
		}
	})
}

func TestAPlaceThatIsNotServedIsNamedOnBothAPIs(t *testing.T) {
	c := newTestNode(t, nil)
	rider := c.connectPhone(trips.Rider("r"), asJSONText, nil)
	want := "The dropoff needs lng in [-180, 180] and lat in [-90, 90]."
	ack := rider.askCommand("1", requestFrame(market, location.Point{Lng: 3, Lat: 91}))
	if ack.Code != string(wire.CodeBadField) || ack.Message != want {
		t.Errorf("requested: %v", ack)
	}
	w := c.callHTTP(trips.Rider("r"), "POST", "/v1/quotes", `{"pickup":{"lng":3.38,"lat":6.45},"dropoff":{"lng":3,"lat":91}}`)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
		t.Errorf("quoted: %d %s", w.Code, w.Body)
	}
}

func TestAnUnknownSubprotocolIsRefusedInWords(t *testing.T) {
	c := newTestNode(t, nil)
	for name, want := range map[string]int{
		"ridehail.v2.json": http.StatusBadRequest, "json": http.StatusBadRequest, "RIDEHAIL.V1.JSON": http.StatusBadRequest,
		"": http.StatusSwitchingProtocols, asJSONText: http.StatusSwitchingProtocols, "json, " + asProto: http.StatusSwitchingProtocols,
	} {
		header := http.Header{}
		if name != "" {
			header.Set("Sec-WebSocket-Protocol", name)
		}
		conn, resp, err := new(websocket.Dialer).DialContext(t.Context(), c.url, header)
		if err == nil {
			conn.Close()
		} else if !errors.Is(err, websocket.ErrBadHandshake) {
			t.Fatal(err)
		}

		if resp.StatusCode != want {
			t.Errorf("%q: %s", name, resp.Status)
		}
		if want == http.StatusBadRequest {
			var p problem.Details
			if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Code != wire.CodeBadFrame ||
				!strings.Contains(p.Detail, asJSONText) || !strings.Contains(p.Detail, asProto) {
				t.Errorf("%q: %+v, %v", name, p, err)
			}
		}
	}
	c.awaitCondition("none is counted as open", func() bool { return c.g.open.Load() == 0 })
}

func TestARequestThatBecomesNoSocketIsToldWhyInOurWords(t *testing.T) {
	c := newTestNode(t, nil)
	socket := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
	for words, change := range map[string]map[string]string{
		"Here is a WebSocket: send GET with": {"Connection": ""},
		"Upgrade: websocket":                 {"Upgrade": "h2c"},
		"Use version 13":                     {"Sec-WebSocket-Version": "8"},
		"Sec-WebSocket-Key must be 16 bytes": {"Sec-WebSocket-Key": "short"},
		"Pages of this origin":               {"Origin": "https://evil.example"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http"+strings.TrimPrefix(c.url, "ws"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range socket {
			req.Header.Set(name, value)
		}
		for name, value := range change {
			req.Header.Set(name, value)
		}

		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var p problem.Details
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || !strings.Contains(p.Detail, words) || strings.Contains(p.Detail, "token") {
			t.Errorf("%v: %s %+v, %v", change, resp.Status, p, err)
		}
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

// An offer that this node never made is gone at once, for a phone that was
// connected to no other node just now; what follows does not wait either way.
func TestAnUnknownOfferIsGoneAtOnce(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, _, drivers string) {
		c := newTestNode(t, nil)
		p := c.connectPhone(trips.Driver("d"), drivers, nil)
		theirs := c.connectPhone(trips.Driver("other"), drivers, nil)
		id := c.openTrip("r")
		c.sendOffer("theirs", "other", id)
		c.sendOffer("expired", "d", c.openTrip("r2"))
		c.g.WithdrawOffer(c.sendOffer("withdrawn", "d", c.openTrip("r3")), "cancelled")
		c.pass(2 * time.Hour)

		start := time.Now()
		for i, offer := range []string{"never made", "", "nul\x00", strings.Repeat("x", 200), "theirs", "expired", "withdrawn"} {
			if ack := p.askCommand(fmt.Sprint("accept ", i), answerFrame(offer, true)); ack.Code != string(wire.CodeOfferGone) {
				t.Errorf("%q: %v", offer, ack)
			}
			p.mustDo(answerFrame(offer, false)) // to decline what is gone is no error
		}
		if took := time.Since(start); took > elsewhereWithin {
			t.Errorf("14 answers took %v", took)
		}
		theirs.awaitHandled()
	})
}

// A phone comes back to another node, which cannot know yet whether the first
// one is committing the acceptance: that answer waits, and no other does.
func TestOnlyTheAnswerThatMustWaitWaits(t *testing.T) {
	_, b, _ := newGatedPair(t)
	p := b.connectPhone(trips.Driver("d"), asProto, &wire.Resume{Epoch: epoch})
	start := time.Now()
	p.sendCommand("accept", answerFrame("made elsewhere", true))
	p.mustDo(availableFrame(true))
	if acks := acksOf(p.framesSoFar(), "accept"); len(acks) > 0 {
		t.Errorf("answered %v, which the other node may still make a lie", acks)
	}
	if ack := p.awaitAck("accept", 1); ack.Code != string(wire.CodeOfferGone) || time.Since(start) < elsewhereWithin/2 {
		t.Errorf("after %v: %v", time.Since(start), ack)
	}

	// From then on it is no phone that has just come back.
	start = time.Now()
	if ack := p.askCommand("another", answerFrame("never made", true)); ack.Code != string(wire.CodeOfferGone) || time.Since(start) > time.Second {
		t.Errorf("after %v: %v", time.Since(start), ack)
	}
}
