package storetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/trips"
)

var queries = []story{
	{"the active trip is found by rider and driver until it ends", activeTrip},
	{"open trips come oldest first, up to a limit", openTrips},
	{"driven trips are all active ones with a driver", drivenTrips},
	{"one's trips come newest first, before a time, up to a limit", listed},
}

func activeTrip(w *world) {
	none := func(a trips.Actor) {
		w.Helper()
		if t, err := w.Active(w.Context(), a); !errors.Is(err, trips.ErrNotFound) {
			w.Errorf("%s has %+v, %v", a, t, err)
		}
	}
	rider, driver := trips.Rider("ada"), trips.Driver("ada") // the same id, but not the same person
	none(rider)
	w.ride("ada", "x")
	t := w.request("ada")
	equal(w, "asked", try[trips.Trip](w)(w.Active(w.Context(), rider)), t)
	none(driver)
	t = w.commit(t.Reserve("ada", w.tick()))
	for range 2 {
		equal(w, "the rider's", try[trips.Trip](w)(w.Active(w.Context(), rider)), t)
		equal(w, "the driver's", try[trips.Trip](w)(w.Active(w.Context(), driver)), t)
		if t.State == trips.Reserved {
			t = w.commit(t.Arrive(driver, w.tick()))
		}
	}
	w.commit(t.Cancel(driver, "flat tyre", w.tick()))
	none(rider)
	none(driver)
	none(trips.System("node"))
	none(trips.Rider(""))
	none(trips.Driver(""))
}

func openTrips(w *world) {
	var want []trips.Trip
	for i := range 5 {
		want = append(want, w.request(trips.RiderID(fmt.Sprint("r", i))))
	}
	w.onTrip("x", "x")
	w.ride("y", "y")
	w.commit(want[2].Expire(trips.System("node"), "nobody came", w.tick()))
	want = slices.Delete(want, 2, 3)
	for limit := range 6 {
		same(w, "open", try[[]trips.Trip](w)(w.Open(w.Context(), limit)), want[:min(limit, 4)])
	}
}

func drivenTrips(w *world) {
	equal(w, "driven", len(try[[]trips.Trip](w)(w.Driven(w.Context()))), 0)
	reserved := w.commit(w.request("a").Reserve("a", w.tick()))
	arrived := w.commit(w.request("b").Reserve("b", w.tick()))
	arrived = w.commit(arrived.Arrive(trips.Driver("b"), w.tick()))
	want := map[trips.TripID]trips.Trip{reserved.ID: reserved, arrived.ID: arrived}
	on := w.onTrip("c", "c")
	want[on.ID] = on
	w.request("d")
	w.ride("e", "e")
	w.commit(w.onTrip("f", "f").Cancel(trips.System("node"), "flood", w.tick()))
	got := try[[]trips.Trip](w)(w.Driven(w.Context()))
	equal(w, "driven", len(got), len(want))
	for _, t := range got {
		equal(w, "driven", t, want[t.ID])
	}
}

func listed(w *world) {
	var all []trips.Trip
	for range 4 {
		all = append(all, w.ride("rider", "driver"))
		w.ride("rider of someone else", "someone else")
	}
	all = append(all, w.request("rider"))
	slices.Reverse(all)
	for _, limit := range []int{0, 1, 3, 100} {
		for i, t := range all {
			got := try[[]trips.Trip](w)(w.List(w.Context(), trips.Rider("rider"), t.RequestedAt, limit))
			same(w, "before", got, all[i+1:min(i+1+limit, len(all))])
		}
		same(w, "the driver's", try[[]trips.Trip](w)(w.List(w.Context(), trips.Driver("driver"), w.tick(), limit)),
			all[1:min(1+limit, len(all))])
	}
	for _, a := range []trips.Actor{trips.Rider("driver"), trips.Driver("rider"), trips.Driver(""), trips.System("node")} {
		equal(w, "trips of "+a.String(), len(try[[]trips.Trip](w)(w.List(w.Context(), a, w.tick(), 10))), 0)
	}
}
