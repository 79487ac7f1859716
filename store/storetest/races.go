package storetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/ridehail/ridehail/trips"
)

var raceStories = []story{
	{"sixty-four drivers accept one trip and one gets it", manyDrivers},
	{"one driver accepts sixteen trips at once and gets one", greedyDriver},
	{"one rider asks sixteen times at once and gets one trip", hastyRider},
	{"one command that arrives sixteen times at once has one effect", manyCopies},
	{"one request that arrives sixteen times at once opens one trip", manyTaps},
	{"a command that is done and given up at once is one of the two", doneMeetsGivenUp},
	{"a cancellation and an acceptance that meet leave one of them", cancelMeetsAccept},
	{"sixteen drivers and sixteen trips in a muddle never share", manyDriversManyTrips},
}

// moveResults collects the results of racing moves.
type moveResults struct {
	sync.Mutex
	won    []trips.Event
	errors []error
}

func (v *moveResults) addResult(ev trips.Event, err error) {
	v.Lock()
	defer v.Unlock()
	if err != nil {
		v.errors = append(v.errors, err)
	} else {
		v.won = append(v.won, ev)
	}
}

// checkOneWinner checks that one move was made and the others were refused with
// one of the errors.
func (v *moveResults) checkOneWinner(w *world, n int, refusals ...error) {
	w.Helper()
	if len(v.won) != 1 || len(v.errors) != n-1 {
		w.Errorf("%d won, %d lost, of %d", len(v.won), len(v.errors), n)
	}
	v.checkErrors(w, refusals...)
}

func (v *moveResults) checkErrors(w *world, refusals ...error) {
	w.Helper()

next:
	for _, err := range v.errors {
		for _, r := range refusals {
			if errors.Is(err, r) {
				continue next
			}
		}

		w.Errorf("refused with %v", err)
	}
}

// checkAllSame checks that every copy got the same answer.
func (v *moveResults) checkAllSame(w *world, n int) {
	w.Helper()
	v.checkErrors(w)
	checkEqual(w, "answers", len(v.won), n)
	for _, ev := range v.won {
		checkEqual(w, "answer", ev, v.won[0])
	}
}

func manyDrivers(w *world) {
	const n = 64
	t := w.requestTrip("rider")

	var v moveResults
	runAtOnce(n, func(i int) {
		ev, err := t.Reserve(trips.DriverID(fmt.Sprint("driver-", i)), w.nextTime())
		if err == nil {
			ev, err = w.Apply(w.Context(), newMove("accept", ev))
		}
		v.addResult(ev, err)
	})

	v.checkOneWinner(w, n, trips.ErrTaken, trips.ErrConflict)
	evs := mustReturn[[]trips.Event](w)(w.Events(w.Context(), t.ID, 1))
	checkSame(w, "events", evs, v.won)
}

func greedyDriver(w *world) {
	const n = 16
	var open [n]trips.Trip
	for i := range open {
		open[i] = w.requestTrip(trips.RiderID(fmt.Sprint("rider-", i)))
	}

	var v moveResults
	runAtOnce(n, func(i int) {
		ev, err := open[i].Reserve("driver", w.nextTime())
		if err == nil {
			ev, err = w.Apply(w.Context(), newMove(fmt.Sprint("accept-", i), ev))
		}
		v.addResult(ev, err)
	})

	v.checkOneWinner(w, n, trips.ErrTaken)
	checkEqual(w, "still open", len(mustReturn[[]trips.Trip](w)(w.OpenTrips(w.Context(), 2*n))), n-1)
}

func hastyRider(w *world) {
	const n = 16
	var v moveResults
	runAtOnce(n, func(i int) {
		v.addResult(w.Apply(w.Context(), newMove(fmt.Sprint("ask-", i), w.newRequest("rider"))))
	})
	v.checkOneWinner(w, n, trips.ErrRiderBusy)
	checkEqual(w, "open", len(mustReturn[[]trips.Trip](w)(w.OpenTrips(w.Context(), 2*n))), 1)
}

func manyCopies(w *world) {
	const n = 16
	ev, _ := w.requestTrip("rider").Reserve("driver", w.nextTime())
	var v moveResults
	runAtOnce(n, func(int) { v.addResult(w.Apply(w.Context(), newMove("accept", ev))) })
	v.checkAllSame(w, n)
	checkEqual(w, "events", len(mustReturn[[]trips.Event](w)(w.Events(w.Context(), ev.Trip.ID, 0))), 2)
}

func manyTaps(w *world) {
	const n = 16
	var v moveResults
	runAtOnce(n, func(int) { v.addResult(w.Apply(w.Context(), newMove("tap", w.newRequest("rider")))) })
	v.checkAllSame(w, n)
	checkEqual(w, "open", len(mustReturn[[]trips.Trip](w)(w.OpenTrips(w.Context(), 2*n))), 1)
}

func cancelMeetsAccept(w *world) {
	for i := range 16 {
		rider, driver := trips.RiderID(fmt.Sprint("r", i)), trips.DriverID(fmt.Sprint("d", i))
		t := w.requestTrip(rider)
		accept, _ := t.Reserve(driver, w.nextTime())
		cancel, _ := t.Cancel(trips.Rider(rider), "changed my mind", w.nextTime())
		var v moveResults
		runAtOnce(2, func(i int) {
			v.addResult(w.Apply(w.Context(), newMove(fmt.Sprint(t.ID, i), []trips.Event{accept, cancel}[i])))
		})
		v.checkOneWinner(w, 2, trips.ErrConflict, trips.ErrTaken)
	}
}

func doneMeetsGivenUp(w *world) {
	for i := range 16 {
		t := w.requestTrip(trips.RiderID(fmt.Sprint("r", i)))
		accept, _ := t.Reserve(trips.DriverID(fmt.Sprint("d", i)), w.nextTime())

		m := newMove("accept", accept)
		var v moveResults
		runAtOnce(2, func(i int) {
			if i == 0 {
				v.addResult(w.Apply(w.Context(), m))
			} else {
				v.addResult(w.Abandon(w.Context(), m.Key))
			}
		})
		v.checkErrors(w, trips.ErrAbandoned)

		// The racers contradict each other.
		version := map[int]uint32{0: 1, 2: 2}[len(v.won)]
		checkEqual(w, "version", mustReturn[trips.Trip](w)(w.Trip(w.Context(), t.ID)).Version, version)
	}
}

func manyDriversManyTrips(w *world) {
	const n = 16
	var open [n]trips.Trip
	for i := range open {
		open[i] = w.requestTrip(trips.RiderID(fmt.Sprint("rider-", i)))
	}

	var v moveResults
	runAtOnce(n*n, func(i int) {
		ev, err := open[i%n].Reserve(trips.DriverID(fmt.Sprint("driver-", (i/n+i)%n)), w.nextTime())
		if err == nil {
			ev, err = w.Apply(w.Context(), newMove(string(ev.Trip.ID), ev))
		}
		v.addResult(ev, err)
	})

	v.checkErrors(w, trips.ErrTaken, trips.ErrConflict)
	drivers, rides := map[trips.DriverID]bool{}, map[trips.TripID]bool{}
	for _, ev := range v.won {
		drivers[ev.Trip.Driver], rides[ev.Trip.ID] = true, true
	}

	driven := mustReturn[[]trips.Trip](w)(w.TripsWithDriver(w.Context()))
	if len(drivers) != len(v.won) || len(rides) != len(v.won) || len(driven) != len(v.won) {
		w.Errorf("%d won: %d drivers, %d trips, %d driven", len(v.won), len(drivers), len(rides), len(driven))
	}

	// Every driver asked for every trip, so every trip found a driver.
	checkEqual(w, "trips that found a driver", len(v.won), n)
}
