package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

var alertStories = []story{
	{"a call for help is kept, told, raised once and acknowledged once", alertLifecycle},
	{"a call sent again is one alert, and its id is for nothing else", alertSentAgain},
	{"sixteen nodes that do the same at once do it once", alertsAtOnce},
	{"an unknown trip takes no alerts", alertOnUnknownTrip},
	{"open alerts come newest first, a person's alerts and an auditor's oldest first", alertsListed},
}

// keepAlert keeps an alert of the rider of a trip.
func (w *world) keepAlert(t trips.Trip, id string) sos.Alert {
	w.Helper()
	return mustReturn[sos.Alert](w)(w.AddAlert(w.Context(), w.newAlert(t, id)))
}

func (w *world) newAlert(t trips.Trip, id string) sos.Alert {
	return sos.Alert{ID: w.nextID("alert"), Trip: t.ID, From: trips.Rider(t.Rider), ClientID: id, Text: "help", At: w.nextTime()}
}

func alertLifecycle(w *world) {
	t := w.rideToOnTrip("rider", "driver")
	asked := w.newAlert(t, "1")
	asked.Text = "it's \"me\" \\ <b>\nשלום 🛺 %s $1"
	asked.Car = sos.Place{Point: location.Point{Lng: 3.379200000000001, Lat: 0}, At: w.nextTime()}
	a := mustReturn[sos.Alert](w)(w.AddAlert(w.Context(), asked))
	for got, want := range map[time.Time]time.Time{a.At: asked.At, a.Car.At: asked.Car.At} {
		if want.Sub(got).Abs() >= time.Microsecond || got.Location() != time.UTC {
			w.Errorf("at %v, kept as %v", want, got)
		}
	}

	asked.At, asked.Car.At = a.At, a.Car.At
	checkEqual(w, "alert", a, asked)
	checkSame(w, "open", mustReturn[[]sos.Alert](w)(w.OpenAlerts(w.Context(), 9)), []sos.Alert{a})

	raised := mustReturn[[]sos.Alert](w)(w.MarkNotified(w.Context(), t.ID, w.nextTime()))
	a.NotifiedAt = raised[0].NotifiedAt
	checkSame(w, "raised", raised, []sos.Alert{a})
	if !a.NotifiedAt.After(a.At) || a.NotifiedAt.Location() != time.UTC {
		w.Errorf("raised at %v", a.NotifiedAt)
	}
	checkSame(w, "raised again", mustReturn[[]sos.Alert](w)(w.MarkNotified(w.Context(), t.ID, w.nextTime())), nil)
	checkSame(w, "open when raised", mustReturn[[]sos.Alert](w)(w.OpenAlerts(w.Context(), 9)), []sos.Alert{a})

	acked := mustReturn[sos.Alert](w)(w.AcknowledgeAlert(w.Context(), a.ID, w.nextTime()))
	a.AckedAt = acked.AckedAt
	checkEqual(w, "acknowledged", acked, a)
	if !a.AckedAt.After(a.NotifiedAt) || a.AckedAt.Location() != time.UTC {
		w.Errorf("acknowledged at %v", a.AckedAt)
	}
	checkEqual(w, "acknowledged again", mustReturn[sos.Alert](w)(w.AcknowledgeAlert(w.Context(), a.ID, w.nextTime())), a)
	checkSame(w, "open when acknowledged", mustReturn[[]sos.Alert](w)(w.OpenAlerts(w.Context(), 9)), nil)
	checkSame(w, "of the rider", mustReturn[[]sos.Alert](w)(w.AlertsOf(w.Context(), a.From, t.ID)), []sos.Alert{a})
	w.checkAlertMessages(t, asked, a)
}

// checkAlertMessages checks the outbox messages of an alert, after the four of
// its trip.
func (w *world) checkAlertMessages(t trips.Trip, want ...sos.Alert) {
	w.Helper()
	told := w.awaitPending(6)[4:]
	checkEqual(w, "outbox messages", len(told), len(want))

	for i, n := range told {
		var got sos.Alert
		if err := json.Unmarshal(n.Payload, &got); err != nil {
			w.Fatal(err)
		}
		checkEqual(w, "told", got, want[i])
		checkEqual(w, "topic", n.Topic, sos.TopicAlert)
		checkEqual(w, "kind", n.Kind, []trips.Kind{sos.KindSOS, ""}[i])
		checkEqual(w, "trip", n.Trip, t.ID)
		checkEqual(w, "region", n.Region, t.Region)
	}
}

func alertSentAgain(w *world) {
	t := w.rideToOnTrip("rider", "driver")
	first := w.keepAlert(t, "1")
	again := w.newAlert(t, "1")
	checkEqual(w, "again", mustReturn[sos.Alert](w)(w.AddAlert(w.Context(), again)), first)
	checkEqual(w, "outbox messages", len(w.awaitPending(5)), 5)
	again.Text = "other"
	if _, err := w.AddAlert(w.Context(), again); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("other words: %v", err)
	}
	elsewhere := w.newAlert(w.completeRide("other", "other"), "1")
	elsewhere.From = first.From
	if _, err := w.AddAlert(w.Context(), elsewhere); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("another trip: %v", err)
	}
	other := w.newAlert(t, "1")
	other.From = trips.Driver(t.Driver)
	checkEqual(w, "the other person's", mustReturn[sos.Alert](w)(w.AddAlert(w.Context(), other)).ID, other.ID)
	checkEqual(w, "acknowledged", mustReturn[sos.Alert](w)(w.AcknowledgeAlert(w.Context(), first.ID, w.nextTime())).ID, first.ID)
	checkEqual(w, "after all", w.keepAlert(t, "1").ID, first.ID)
}

func alertsAtOnce(w *world) {
	const n = 16
	t := w.rideToOnTrip("rider", "driver")

	var mu sync.Mutex
	ids, acked, raised := map[string]int{}, map[time.Time]int{}, 0
	runAtOnce(n, func(int) {
		a, err := w.AddAlert(w.Context(), w.newAlert(t, "1"))
		mu.Lock()
		defer mu.Unlock()
		if ids[a.ID]++; err != nil {
			w.Error(err)
		}
	})

	first := mustReturn[[]sos.Alert](w)(w.OpenAlerts(w.Context(), 9))[0]
	runAtOnce(n, func(int) {
		list, err := w.MarkNotified(w.Context(), t.ID, w.nextTime())
		a, failed := w.AcknowledgeAlert(w.Context(), first.ID, w.nextTime())
		mu.Lock()
		defer mu.Unlock()
		raised += len(list)
		if acked[a.AckedAt]++; err != nil || failed != nil {
			w.Error(err, failed)
		}
	})

	checkEqual(w, "alerts", ids[first.ID], n)
	checkEqual(w, "raised", raised, 1)
	checkEqual(w, "different times of acknowledgement", len(acked), 1)
	checkEqual(w, "outbox messages", len(w.awaitPending(6)), 6)
}

func alertOnUnknownTrip(w *world) {
	if _, err := w.AddAlert(w.Context(), w.newAlert(w.newRequest("rider").Trip, "1")); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("called: %v", err)
	}
	if _, err := w.AcknowledgeAlert(w.Context(), "none", w.nextTime()); !errors.Is(err, sos.ErrNotFound) {
		w.Errorf("acknowledged: %v", err)
	}
	checkSame(w, "raised", mustReturn[[]sos.Alert](w)(w.MarkNotified(w.Context(), "none", w.nextTime())), nil)
}

func alertsListed(w *world) {
	a, b := w.rideToOnTrip("a", "a"), w.completeRide("b", "b")
	var all, ofA []sos.Alert
	for i := range 6 {
		t := []trips.Trip{a, b}[i%2]
		all = append(all, w.keepAlert(t, fmt.Sprint(i)))
		if i%2 == 0 {
			ofA = append(ofA, all[i])
		}
	}

	checkSame(w, "of a", mustReturn[[]sos.Alert](w)(w.AlertsOf(w.Context(), trips.Rider("a"), a.ID)), ofA)
	checkSame(w, "of their driver", mustReturn[[]sos.Alert](w)(w.AlertsOf(w.Context(), trips.Driver("a"), a.ID)), nil)
	mustReturn[sos.Alert](w)(w.AcknowledgeAlert(w.Context(), all[3].ID, w.nextTime()))
	open := slices.Delete(slices.Clone(all), 3, 4)
	slices.Reverse(open)
	for limit := range 7 {
		checkSame(w, "open", mustReturn[[]sos.Alert](w)(w.OpenAlerts(w.Context(), limit)), open[:min(limit, 5)])
	}
	all[3].AckedAt = mustReturn[[]sos.Alert](w)(w.AlertsOf(w.Context(), trips.Rider("b"), b.ID))[1].AckedAt
	checkEqual(w, "raised of a", len(mustReturn[[]sos.Alert](w)(w.MarkNotified(w.Context(), a.ID, w.nextTime()))), 3)

	for i := range all {
		if all[i].Trip == a.ID {
			all[i].NotifiedAt = mustReturn[[]sos.Alert](w)(w.AlertsOf(w.Context(), trips.Rider("a"), a.ID))[i/2].NotifiedAt
		}
	}

	var audited []sos.Alert
	w.checkNoError(w.AuditAlerts(w.Context(), func(a sos.Alert) error { audited = append(audited, a); return nil }))
	checkSame(w, "audited", audited, all)
	enough, seen := errors.New("seen enough"), 0
	err := w.AuditAlerts(w.Context(), func(sos.Alert) error { seen++; return enough })
	if !errors.Is(err, enough) || seen != 1 {
		w.Errorf("got %v after %d", err, seen)
	}
}
