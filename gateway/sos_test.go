package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func sosFrame(trip trips.TripID, text string) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_Sos{Sos: &wire.Sos{TripId: string(trip), Text: text}}}
}

// openAlerts is what the operators see.
func (c *testNode) openAlerts() []sos.Alert {
	c.t.Helper()
	list, err := c.store.OpenAlerts(c.t.Context(), 100)
	if err != nil {
		c.t.Fatal(err)
	}
	return list
}

// ackAlert presses the button of an alert.
func (c *testNode) ackAlert(id string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.api.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/ops/alerts/"+id+"/ack", nil))
	return w
}

func TestACallForHelpReachesTheOperatorsAndItsAcknowledgementThePhone(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		r.rider.mustDo(sosFrame(r.trip, "stop the car"))
		r.driver.mustDo(sosFrame(r.trip, ""))

		calls := r.openAlerts() // newest first
		if len(calls) != 2 || calls[1].Text != "stop the car" || calls[1].From != trips.Rider("r") || calls[0].From != trips.Driver("d") {
			t.Fatalf("operators see %+v", calls)
		}

		d, _ := r.drivers.Get("d")
		if want := (sos.Place{Point: d.Fix.Point, At: d.ReceivedAt}); calls[0].Car != want || calls[1].Car != want {
			t.Errorf("car at %v and %v, want %v", calls[0].Car, calls[1].Car, want)
		}

		r.pass(time.Second)
		if w := r.ackAlert(calls[1].ID); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}

		seen := awaitBodies[*wire.ServerFrame_SosSeen](r.rider, 1)[0].SosSeen
		if seen.Id != calls[1].ClientID || seen.TripId != string(r.trip) || seen.AtMs != wire.ToMillis(r.now()) {
			t.Errorf("told %v", seen)
		}

		r.ackAlert(calls[1].ID) // again: nothing new
		r.ackAlert(calls[0].ID)
		awaitBodies[*wire.ServerFrame_SosSeen](r.driver, 1)
		r.rider.awaitHandled()
		if n := len(bodiesOf[*wire.ServerFrame_SosSeen](r.rider.framesSoFar())); n != 1 || len(r.openAlerts()) != 0 {
			t.Errorf("told %d times, open %v", n, r.openAlerts())
		}
	})
}

func TestACallSentAgainIsOneAlertOnAnyConnection(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asJSONText)
	second := r.connectPhone(trips.Rider("r"), asJSONText, nil)
	for _, p := range []*phone{r.rider, second, r.rider} {
		if ack := p.askCommand("help", sosFrame(r.trip, "x")); ack.Code != "" {
			t.Errorf("answered %v", ack)
		}
	}

	if n := len(r.openAlerts()); n != 1 {
		t.Errorf("%d alerts", n)
	}
	if ack := second.askCommand("help", sosFrame(r.trip, "y")); ack.Code != string(wire.CodeKeyReused) {
		t.Errorf("other words under the same id: %v", ack)
	}
}

func TestCallsOfStrangersAndFloodsOfCallsAreRefused(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asProto)
	stranger := r.connectPhone(trips.Rider("s"), asProto, nil)
	refused := func(p *phone, id string, f *wire.ClientFrame, want wire.Code) {
		t.Helper()
		if ack := p.askCommand(id, f); ack.Code != string(want) || ack.Message == "" {
			t.Errorf("%v: answered %v, want %s", f, ack, want)
		}
	}

	refused(stranger, "1", sosFrame(r.trip, ""), wire.CodeNotFound)
	refused(stranger, "2", sosFrame("none", ""), wire.CodeNotFound)
	refused(stranger, "3", sosFrame("", ""), wire.CodeNotFound)
	refused(r.rider, "4", sosFrame(r.trip, strings.Repeat("x", sos.MaxRunes+1)), wire.CodeBadText)
	if n := len(r.openAlerts()); n != 0 {
		t.Errorf("%d alerts of no caller", n)
	}
	for range sos.MaxCallsPerMinute {
		r.rider.mustDo(sosFrame(r.trip, ""))
	}
	refused(r.rider, "5", sosFrame(r.trip, ""), wire.CodeTooMany)
	r.driver.mustDo(sosFrame(r.trip, ""))
	r.driver.mustDo(&wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: string(r.trip)}}})
	r.pass(sos.OpenAfterTrip)
	r.rider.mustDo(sosFrame(r.trip, ""))
	r.pass(time.Second)
	refused(r.rider, "6", sosFrame(r.trip, ""), wire.CodeIllegalMove)
}

func TestAnAcknowledgementMissedIsToldWhenThePhoneComesBack(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		r.rider.mustDo(sosFrame(r.trip, ""))
		at := r.rider.resumePoint(r.trip)
		r.rider.cutConnection()
		r.ackAlert(r.openAlerts()[0].ID)

		for name, resume := range map[string]*wire.Resume{"resumed": at, "anew": nil} {
			back := r.connectPhone(trips.Rider("r"), drivers, resume)
			if w := back.awaitWelcome(); w.Recovered != (resume != nil) {
				t.Errorf("%s: welcomed with %v", name, w)
			}
			awaitBodies[*wire.ServerFrame_SosSeen](back, 1)
			back.awaitHandled()
			if n := len(bodiesOf[*wire.ServerFrame_SosSeen](back.framesSoFar())); n != 1 {
				t.Errorf("%s: told %d times", name, n)
			}
		}
	})
}

func TestAnAcknowledgementThatRedisRepeatsIsToldOnceAlsoAfterTheTrip(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asProto)
	r.rider.mustDo(sosFrame(r.trip, ""))
	r.ackAlert(r.openAlerts()[0].ID)
	awaitBodies[*wire.ServerFrame_SosSeen](r.rider, 1)
	r.rider.mustDo(&wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: string(r.trip)}}})

	// From now on the connection follows another trip.
	r.rider.mustDo(requestFrame(market, airport))
	all, err := r.store.AlertsOf(t.Context(), trips.Rider("r"), r.trip)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}

	payload, err := json.Marshal(all[0])
	if err != nil {
		t.Fatal(err)
	}

	for range 2 {
		r.g.DeliverMessage(string(sos.TopicAlert), payload)
	}
	r.rider.awaitHandled()
	if n := len(bodiesOf[*wire.ServerFrame_SosSeen](r.rider.framesSoFar())); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestAnAcknowledgementThatRedisLostIsToldAfterTheGap(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asProto)
	r.startRunning()
	r.rider.mustDo(sosFrame(r.trip, ""))
	r.loseMessages(loseAll)
	r.ackAlert(r.openAlerts()[0].ID)
	r.loseMessages(nil)
	r.g.OnGap()
	awaitBodies[*wire.ServerFrame_SosSeen](r.rider, 1)
}

func TestAnAcknowledgementThatRedisLostIsToldAfterTheGapAlsoOnTheNextTrip(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asProto)
	r.startRunning()
	r.rider.mustDo(sosFrame(r.trip, ""))
	r.rider.mustDo(&wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: string(r.trip)}}})
	next := r.rider.mustDo(requestFrame(market, airport)).Trip.Id
	r.loseMessages(loseAll)
	r.ackAlert(r.openAlerts()[0].ID)
	r.loseMessages(nil)
	r.g.OnGap()
	if seen := awaitBodies[*wire.ServerFrame_SosSeen](r.rider, 1)[0].SosSeen; seen.TripId != string(r.trip) || seen.TripId == next {
		t.Errorf("told %v", seen)
	}

	r.g.OnGap() // there is nothing to wait for any more
	r.rider.awaitHandled()
	if n := len(bodiesOf[*wire.ServerFrame_SosSeen](r.rider.framesSoFar())); n != 1 || len(r.g.sessions.OfUser(trips.Rider("r"), nil)[0].unackedSOSTrips()) != 0 {
		t.Errorf("told %d times", n)
	}
}

func TestACallIsNotAckedWhileTheDatabaseIsDown(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asProto)
	r.store.breakWith(errors.New("down"))
	if ack := r.rider.askCommand("help", sosFrame(r.trip, "")); ack.Code != string(wire.CodeUnavailable) {
		t.Errorf("answered %v", ack)
	}
	r.store.breakWith(nil)
	if ack := r.rider.askCommand("help", sosFrame(r.trip, "")); ack.Code != "" || len(r.openAlerts()) != 1 {
		t.Errorf("answered %v", ack)
	}
}
