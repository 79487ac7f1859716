package storetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/trips"
)

var queryStories = []story{
	{"the active trip is found by rider and driver until it ends", activeTrip},
	{"open trips come oldest first, up to a limit", openTrips},
	{"driven trips are all active ones with a driver", drivenTrips},
	{"one's trips come newest first, before a time, up to a limit", tripsListed},
}

func activeTrip(w *world) {
	none := func(a trips.Actor) {
		w.Helper()
		if t, err := w.ActiveTrip(w.Context(), a); !errors.Is(err, trips.ErrNotFound) {
			w.Errorf("%s has %+v, %v", a, t, err)
		}
	}

	// They share an id and are not the same person.
	rider, driver := trips.Rider("ada"), trips.Driver("ada")
	none(rider)
	w.completeRide("ada", "x")
	t := w.requestTrip("ada")
	checkEqual(w, "asked", mustReturn[trips.Trip](w)(w.ActiveTrip(w.Context(), rider)), t)
	none(driver)

	t = w.commitMove(t.Reserve("ada", w.nextTime()))
	for range 2 {
		checkEqual(w, "the rider's", mustReturn[trips.Trip](w)(w.ActiveTrip(w.Context(), rider)), t)
		checkEqual(w, "the driver's", mustReturn[trips.Trip](w)(w.ActiveTrip(w.Context(), driver)), t)
		if t.State == trips.Reserved {
			t = w.commitMove(t.Arrive(driver, w.nextTime()))
		}
	}

	w.commitMove(t.Cancel(driver, "flat tyre", w.nextTime()))
	none(rider)
	none(driver)
	none(trips.System("node"))
	none(trips.Rider(""))
	none(trips.Driver(""))
}

func openTrips(w *world) {
	var want []trips.Trip
	for i := range 5 {
		want = append(want, w.requestTrip(trips.RiderID(fmt.Sprint("r", i))))
	}
	w.rideToOnTrip("x", "x")
	w.completeRide("y", "y")
	w.commitMove(want[2].Expire(trips.System("node"), "no driver found", w.nextTime()))
	want = slices.Delete(want, 2, 3)
	for limit := range 6 {
		checkSame(w, "open", mustReturn[[]trips.Trip](w)(w.OpenTrips(w.Context(), limit)), want[:min(limit, 4)])
	}
}

func drivenTrips(w *world) {
	checkEqual(w, "driven", len(mustReturn[[]trips.Trip](w)(w.TripsWithDriver(w.Context()))), 0)
	reserved := w.commitMove(w.requestTrip("a").Reserve("a", w.nextTime()))
	arrived := w.commitMove(w.requestTrip("b").Reserve("b", w.nextTime()))
	arrived = w.commitMove(arrived.Arrive(trips.Driver("b"), w.nextTime()))
	want := map[trips.TripID]trips.Trip{reserved.ID: reserved, arrived.ID: arrived}

	on := w.rideToOnTrip("c", "c")
	want[on.ID] = on
	w.requestTrip("d")
	w.completeRide("e", "e")
	w.commitMove(w.rideToOnTrip("f", "f").Cancel(trips.System("node"), "flood", w.nextTime()))
	got := mustReturn[[]trips.Trip](w)(w.TripsWithDriver(w.Context()))
	checkEqual(w, "driven", len(got), len(want))
	for _, t := range got {
		checkEqual(w, "driven", t, want[t.ID])
	}
}

func tripsListed(w *world) {
	var all []trips.Trip
	for range 4 {
		all = append(all, w.completeRide("rider", "driver"))
		w.completeRide("rider of someone else", "someone else")
	}

	all = append(all, w.requestTrip("rider"))
	slices.Reverse(all)

	for _, limit := range []int{0, 1, 3, 100} {
		for i, t := range all {
			got := mustReturn[[]trips.Trip](w)(w.ListTrips(w.Context(), trips.Rider("rider"), t.RequestedAt, limit))
			checkSame(w, "before", got, all[i+1:min(i+1+limit, len(all))])
		}

		checkSame(w, "the driver's", mustReturn[[]trips.Trip](w)(w.ListTrips(w.Context(), trips.Driver("driver"), w.nextTime(), limit)),
			all[1:min(1+limit, len(all))])
	}

	for _, a := range []trips.Actor{trips.Rider("driver"), trips.Driver("rider"), trips.Driver(""), trips.System("node")} {
		checkEqual(w, "trips of "+a.String(), len(mustReturn[[]trips.Trip](w)(w.ListTrips(w.Context(), a, w.nextTime(), 10))), 0)
	}
}
