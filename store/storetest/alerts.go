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

var alarms = []story{
	{"a call for help is kept, told, raised once and acknowledged once", calledForHelp},
	{"a call sent again is one alert, and its id is for nothing else", calledOnce},
	{"sixteen nodes that do the same at once do it once", calledAtOnce},
	{"nobody calls from an unknown trip", calledNowhere},
	{"open alerts come newest first, a person's alerts and an auditor's oldest first", openAlerts},
}

// call keeps an alert of the rider of a trip.
func (w *world) call(t trips.Trip, id string) sos.Alert {
	w.Helper()
	return try[sos.Alert](w)(w.KeepAlert(w.Context(), w.alarm(t, id)))
}

func (w *world) alarm(t trips.Trip, id string) sos.Alert {
	return sos.Alert{ID: w.id("alert"), Trip: t.ID, From: trips.Rider(t.Rider), ClientID: id, Text: "help", At: w.tick()}
}

func calledForHelp(w *world) {
	t := w.onTrip("rider", "driver")
	asked := w.alarm(t, "1")
	asked.Text = "it's \"me\" \\ <b>\nשלום 🛺 %s $1"
	asked.Car = sos.Place{Point: location.Point{Lng: 3.379200000000001, Lat: 0}, At: w.tick()}
	a := try[sos.Alert](w)(w.KeepAlert(w.Context(), asked))
	for got, want := range map[time.Time]time.Time{a.At: asked.At, a.Car.At: asked.Car.At} {
		if want.Sub(got).Abs() >= time.Microsecond || got.Location() != time.UTC {
			w.Errorf("at %v, kept as %v", want, got)
		}
	}
	asked.At, asked.Car.At = a.At, a.Car.At
	equal(w, "alert", a, asked)
	same(w, "open", try[[]sos.Alert](w)(w.OpenAlerts(w.Context(), 9)), []sos.Alert{a})

	raised := try[[]sos.Alert](w)(w.RaiseAlerts(w.Context(), t.ID, w.tick()))
	a.RaisedAt = raised[0].RaisedAt
	same(w, "raised", raised, []sos.Alert{a})
	if !a.RaisedAt.After(a.At) || a.RaisedAt.Location() != time.UTC {
		w.Errorf("raised at %v", a.RaisedAt)
	}
	same(w, "raised again", try[[]sos.Alert](w)(w.RaiseAlerts(w.Context(), t.ID, w.tick())), nil)
	same(w, "open when raised", try[[]sos.Alert](w)(w.OpenAlerts(w.Context(), 9)), []sos.Alert{a})

	acked := try[sos.Alert](w)(w.AckAlert(w.Context(), a.ID, w.tick()))
	a.AckedAt = acked.AckedAt
	equal(w, "acknowledged", acked, a)
	if !a.AckedAt.After(a.RaisedAt) || a.AckedAt.Location() != time.UTC {
		w.Errorf("acknowledged at %v", a.AckedAt)
	}
	equal(w, "acknowledged again", try[sos.Alert](w)(w.AckAlert(w.Context(), a.ID, w.tick())), a)
	same(w, "open when acknowledged", try[[]sos.Alert](w)(w.OpenAlerts(w.Context(), 9)), nil)
	same(w, "of the rider", try[[]sos.Alert](w)(w.AlertsOf(w.Context(), a.From, t.ID)), []sos.Alert{a})
	w.toldOfHelp(t, asked, a)
}

// toldOfHelp looks for the notices of an alert, behind the four of its trip.
func (w *world) toldOfHelp(t trips.Trip, want ...sos.Alert) {
	w.Helper()
	told := w.pending(6)[4:]
	equal(w, "notices", len(told), len(want))
	for i, n := range told {
		var got sos.Alert
		if err := json.Unmarshal(n.Payload, &got); err != nil {
			w.Fatal(err)
		}
		equal(w, "told", got, want[i])
		equal(w, "topic", n.Topic, sos.Topic)
		equal(w, "kind", n.Kind, []trips.Kind{sos.KindSOS, ""}[i])
		equal(w, "trip", n.Trip, t.ID)
		equal(w, "region", n.Region, t.Region)
	}
}

func calledOnce(w *world) {
	t := w.onTrip("rider", "driver")
	first := w.call(t, "1")
	again := w.alarm(t, "1")
	equal(w, "again", try[sos.Alert](w)(w.KeepAlert(w.Context(), again)), first)
	equal(w, "notices", len(w.pending(5)), 5)
	again.Text = "other"
	if _, err := w.KeepAlert(w.Context(), again); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("other words: %v", err)
	}
	elsewhere := w.alarm(w.ride("other", "other"), "1")
	elsewhere.From = first.From
	if _, err := w.KeepAlert(w.Context(), elsewhere); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("another trip: %v", err)
	}
	other := w.alarm(t, "1")
	other.From = trips.Driver(t.Driver)
	equal(w, "the other person's", try[sos.Alert](w)(w.KeepAlert(w.Context(), other)).ID, other.ID)
	equal(w, "acknowledged", try[sos.Alert](w)(w.AckAlert(w.Context(), first.ID, w.tick())).ID, first.ID)
	equal(w, "after all", w.call(t, "1").ID, first.ID)
}

func calledAtOnce(w *world) {
	const n = 16
	t := w.onTrip("rider", "driver")
	var mu sync.Mutex
	ids, acked, raised := map[string]int{}, map[time.Time]int{}, 0
	crowd(n, func(int) {
		a, err := w.KeepAlert(w.Context(), w.alarm(t, "1"))
		mu.Lock()
		defer mu.Unlock()
		if ids[a.ID]++; err != nil {
			w.Error(err)
		}
	})
	first := try[[]sos.Alert](w)(w.OpenAlerts(w.Context(), 9))[0]
	crowd(n, func(int) {
		list, err := w.RaiseAlerts(w.Context(), t.ID, w.tick())
		a, failed := w.AckAlert(w.Context(), first.ID, w.tick())
		mu.Lock()
		defer mu.Unlock()
		raised += len(list)
		if acked[a.AckedAt]++; err != nil || failed != nil {
			w.Error(err, failed)
		}
	})
	equal(w, "alerts", ids[first.ID], n)
	equal(w, "raised", raised, 1)
	equal(w, "different times of acknowledgement", len(acked), 1)
	equal(w, "notices", len(w.pending(6)), 6)
}

func calledNowhere(w *world) {
	if _, err := w.KeepAlert(w.Context(), w.alarm(w.asked("rider").Trip, "1")); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("called: %v", err)
	}
	if _, err := w.AckAlert(w.Context(), "none", w.tick()); !errors.Is(err, sos.ErrNotFound) {
		w.Errorf("acknowledged: %v", err)
	}
	same(w, "raised", try[[]sos.Alert](w)(w.RaiseAlerts(w.Context(), "none", w.tick())), nil)
}

func openAlerts(w *world) {
	a, b := w.onTrip("a", "a"), w.ride("b", "b")
	var all, ofA []sos.Alert
	for i := range 6 {
		t := []trips.Trip{a, b}[i%2]
		all = append(all, w.call(t, fmt.Sprint(i)))
		if i%2 == 0 {
			ofA = append(ofA, all[i])
		}
	}
	same(w, "of a", try[[]sos.Alert](w)(w.AlertsOf(w.Context(), trips.Rider("a"), a.ID)), ofA)
	same(w, "of their driver", try[[]sos.Alert](w)(w.AlertsOf(w.Context(), trips.Driver("a"), a.ID)), nil)
	try[sos.Alert](w)(w.AckAlert(w.Context(), all[3].ID, w.tick()))
	open := slices.Delete(slices.Clone(all), 3, 4)
	slices.Reverse(open)
	for limit := range 7 {
		same(w, "open", try[[]sos.Alert](w)(w.OpenAlerts(w.Context(), limit)), open[:min(limit, 5)])
	}
	all[3].AckedAt = try[[]sos.Alert](w)(w.AlertsOf(w.Context(), trips.Rider("b"), b.ID))[1].AckedAt
	equal(w, "raised of a", len(try[[]sos.Alert](w)(w.RaiseAlerts(w.Context(), a.ID, w.tick()))), 3)
	for i := range all {
		if all[i].Trip == a.ID {
			all[i].RaisedAt = try[[]sos.Alert](w)(w.AlertsOf(w.Context(), trips.Rider("a"), a.ID))[i/2].RaisedAt
		}
	}
	var audited []sos.Alert
	w.read(w.AuditAlerts(w.Context(), func(a sos.Alert) error { audited = append(audited, a); return nil }))
	same(w, "audited", audited, all)
	enough, seen := errors.New("seen enough"), 0
	err := w.AuditAlerts(w.Context(), func(sos.Alert) error { seen++; return enough })
	if !errors.Is(err, enough) || seen != 1 {
		w.Errorf("got %v after %d", err, seen)
	}
}
