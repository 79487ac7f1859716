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

// open is what the operators see.
func (c *town) open() []sos.Alert {
	c.t.Helper()
	list, err := c.store.OpenAlerts(c.t.Context(), 100)
	if err != nil {
		c.t.Fatal(err)
	}
	return list
}

// acknowledge presses the button of an alert.
func (c *town) acknowledge(id string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.api.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/ops/alerts/"+id+"/ack", nil))
	return w
}

func TestACallForHelpReachesTheOperatorsAndItsAcknowledgementThePhone(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		r := reserved(t, newTown(t, nil), riders, drivers)
		r.rider.does(sosFrame(r.trip, "stop the car"))
		r.driver.does(sosFrame(r.trip, ""))

		calls := r.open() // newest first
		if len(calls) != 2 || calls[1].Text != "stop the car" || calls[1].From != trips.Rider("r") || calls[0].From != trips.Driver("d") {
			t.Fatalf("operators see %+v", calls)
		}

		d, _ := r.drivers.Get("d")
		if want := (sos.Place{Point: d.Fix.Point, At: d.ReceivedAt}); calls[0].Car != want || calls[1].Car != want {
			t.Errorf("car at %v and %v, want %v", calls[0].Car, calls[1].Car, want)
		}

		r.pass(time.Second)
		if w := r.acknowledge(calls[1].ID); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}

		seen := has[*wire.ServerFrame_SosSeen](r.rider, 1)[0].SosSeen
		if seen.Id != calls[1].ClientID || seen.TripId != string(r.trip) || seen.AtMs != wire.ToMillis(r.now()) {
			t.Errorf("told %v", seen)
		}

		r.acknowledge(calls[1].ID) // again: nothing new
		r.acknowledge(calls[0].ID)
		has[*wire.ServerFrame_SosSeen](r.driver, 1)
		r.rider.settled()
		if n := len(frames[*wire.ServerFrame_SosSeen](r.rider.sofar())); n != 1 || len(r.open()) != 0 {
			t.Errorf("told %d times, open %v", n, r.open())
		}
	})
}

func TestACallSentAgainIsOneAlertOnAnyConnection(t *testing.T) {
	r := reserved(t, newTown(t, nil), asProto, asJSONText)
	second := r.connect(trips.Rider("r"), asJSONText, nil)
	for _, p := range []*phone{r.rider, second, r.rider} {
		if ack := p.ask("help", sosFrame(r.trip, "x")); ack.Code != "" {
			t.Errorf("answered %v", ack)
		}
	}

	if n := len(r.open()); n != 1 {
		t.Errorf("%d alerts", n)
	}
	if ack := second.ask("help", sosFrame(r.trip, "y")); ack.Code != string(wire.CodeKeyReused) {
		t.Errorf("other words under the same id: %v", ack)
	}
}

func TestCallsOfStrangersAndFloodsOfCallsAreRefused(t *testing.T) {
	r := reserved(t, newTown(t, nil), asProto, asProto)
	stranger := r.connect(trips.Rider("s"), asProto, nil)
	refused := func(p *phone, id string, f *wire.ClientFrame, want wire.Code) {
		t.Helper()
		if ack := p.ask(id, f); ack.Code != string(want) || ack.Message == "" {
			t.Errorf("%v: answered %v, want %s", f, ack, want)
		}
	}

	refused(stranger, "1", sosFrame(r.trip, ""), wire.CodeNotFound)
	refused(stranger, "2", sosFrame("none", ""), wire.CodeNotFound)
	refused(stranger, "3", sosFrame("", ""), wire.CodeNotFound)
	refused(r.rider, "4", sosFrame(r.trip, strings.Repeat("x", sos.MaxRunes+1)), wire.CodeBadText)
	if n := len(r.open()); n != 0 {
		t.Errorf("%d alerts of nobody", n)
	}
	for range sos.MaxCallsPerMinute {
		r.rider.does(sosFrame(r.trip, ""))
	}
	refused(r.rider, "5", sosFrame(r.trip, ""), wire.CodeTooMany)
	r.driver.does(sosFrame(r.trip, ""))
	r.driver.does(&wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: string(r.trip)}}})
	r.pass(sos.OpenAfterTrip)
	r.rider.does(sosFrame(r.trip, ""))
	r.pass(time.Second)
	refused(r.rider, "6", sosFrame(r.trip, ""), wire.CodeIllegalMove)
}

func TestAnAcknowledgementMissedIsToldWhenThePhoneComesBack(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		r := reserved(t, newTown(t, nil), riders, drivers)
		r.rider.does(sosFrame(r.trip, ""))
		at := r.rider.resume(r.trip)
		r.rider.cut()
		r.acknowledge(r.open()[0].ID)

		for name, resume := range map[string]*wire.Resume{"resumed": at, "anew": nil} {
			back := r.connect(trips.Rider("r"), drivers, resume)
			if w := back.welcome(); w.Recovered != (resume != nil) {
				t.Errorf("%s: welcomed with %v", name, w)
			}
			has[*wire.ServerFrame_SosSeen](back, 1)
			back.settled()
			if n := len(frames[*wire.ServerFrame_SosSeen](back.sofar())); n != 1 {
				t.Errorf("%s: told %d times", name, n)
			}
		}
	})
}

func TestAnAcknowledgementThatRedisRepeatsIsToldOnceAlsoAfterTheTrip(t *testing.T) {
	r := reserved(t, newTown(t, nil), asProto, asProto)
	r.rider.does(sosFrame(r.trip, ""))
	r.acknowledge(r.open()[0].ID)
	has[*wire.ServerFrame_SosSeen](r.rider, 1)
	r.rider.does(&wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: string(r.trip)}}})

	// from now on the connection follows another trip
	r.rider.does(requestFrame(market, airport))
	all, err := r.store.AlertsOf(t.Context(), trips.Rider("r"), r.trip)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}

	payload, err := json.Marshal(all[0])
	if err != nil {
		t.Fatal(err)
	}

	for range 2 {
		r.g.Deliver(string(sos.TopicAlert), payload)
	}
	r.rider.settled()
	if n := len(frames[*wire.ServerFrame_SosSeen](r.rider.sofar())); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestAnAcknowledgementThatRedisLostIsToldAfterTheGap(t *testing.T) {
	r := reserved(t, newTown(t, nil), asProto, asProto)
	r.runs()
	r.rider.does(sosFrame(r.trip, ""))
	r.lose(nothing)
	r.acknowledge(r.open()[0].ID)
	r.lose(nil)
	r.g.Gap()
	has[*wire.ServerFrame_SosSeen](r.rider, 1)
}

func TestAnAcknowledgementThatRedisLostIsToldAfterTheGapAlsoOnTheNextTrip(t *testing.T) {
	r := reserved(t, newTown(t, nil), asProto, asProto)
	r.runs()
	r.rider.does(sosFrame(r.trip, ""))
	r.rider.does(&wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: string(r.trip)}}})
	next := r.rider.does(requestFrame(market, airport)).Trip.Id
	r.lose(nothing)
	r.acknowledge(r.open()[0].ID)
	r.lose(nil)
	r.g.Gap()
	if seen := has[*wire.ServerFrame_SosSeen](r.rider, 1)[0].SosSeen; seen.TripId != string(r.trip) || seen.TripId == next {
		t.Errorf("told %v", seen)
	}

	r.g.Gap() // there is nothing to wait for any more
	r.rider.settled()
	if n := len(frames[*wire.ServerFrame_SosSeen](r.rider.sofar())); n != 1 || len(r.g.sessions.OfUser(trips.Rider("r"), nil)[0].unacknowledgedSOS()) != 0 {
		t.Errorf("told %d times", n)
	}
}

func TestACallIsNotAckedWhileTheDatabaseIsDown(t *testing.T) {
	r := reserved(t, newTown(t, nil), asProto, asProto)
	r.store.breakWith(errors.New("down"))
	if ack := r.rider.ask("help", sosFrame(r.trip, "")); ack.Code != string(wire.CodeUnavailable) {
		t.Errorf("answered %v", ack)
	}
	r.store.breakWith(nil)
	if ack := r.rider.ask("help", sosFrame(r.trip, "")); ack.Code != "" || len(r.open()) != 1 {
		t.Errorf("answered %v", ack)
	}
}
