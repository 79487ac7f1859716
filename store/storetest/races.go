package storetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/ridehail/ridehail/trips"
)

var races = []story{
	{"sixty-four drivers accept one trip and one gets it", manyDrivers},
	{"one driver accepts sixteen trips at once and gets one", greedyDriver},
	{"one rider asks sixteen times at once and gets one trip", hastyRider},
	{"one command that arrives sixteen times at once has one effect", manyCopies},
	{"one request that arrives sixteen times at once opens one trip", manyTaps},
	{"a command that is done and given up at once is one of the two", doneMeetsGivenUp},
	{"a cancellation and an acceptance that meet leave one of them", cancelMeetsAccept},
	{"sixteen drivers and sixteen trips in a muddle never share", muddle},
}

// verdicts counts what became of racing moves.
type verdicts struct {
	sync.Mutex
	won    []trips.Event
	errors []error
}

func (v *verdicts) add(ev trips.Event, err error) {
	v.Lock()
	defer v.Unlock()
	if err != nil {
		v.errors = append(v.errors, err)
	} else {
		v.won = append(v.won, ev)
	}
}

// oneWinner checks that one move was made and the others were refused with one of the errors.
func (v *verdicts) oneWinner(w *world, n int, refusals ...error) {
	w.Helper()
	if len(v.won) != 1 || len(v.errors) != n-1 {
		w.Errorf("%d won, %d lost, of %d", len(v.won), len(v.errors), n)
	}
	v.refused(w, refusals...)
}

func (v *verdicts) refused(w *world, refusals ...error) {
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

// allSame checks that every copy got the same answer.
func (v *verdicts) allSame(w *world, n int) {
	w.Helper()
	v.refused(w)
	equal(w, "answers", len(v.won), n)
	for _, ev := range v.won {
		equal(w, "answer", ev, v.won[0])
	}
}

func manyDrivers(w *world) {
	const n = 64
	t := w.request("rider")
	var v verdicts
	crowd(n, func(i int) {
		ev, err := t.Reserve(trips.DriverID(fmt.Sprint("driver-", i)), w.tick())
		if err == nil {
			ev, err = w.Apply(w.Context(), keyed("accept", ev))
		}
		v.add(ev, err)
	})
	v.oneWinner(w, n, trips.ErrTaken, trips.ErrConflict)
	evs := try[[]trips.Event](w)(w.Events(w.Context(), t.ID, 1))
	same(w, "events", evs, v.won)
}

func greedyDriver(w *world) {
	const n = 16
	var open [n]trips.Trip
	for i := range open {
		open[i] = w.request(trips.RiderID(fmt.Sprint("rider-", i)))
	}
	var v verdicts
	crowd(n, func(i int) {
		ev, err := open[i].Reserve("driver", w.tick())
		if err == nil {
			ev, err = w.Apply(w.Context(), keyed(fmt.Sprint("accept-", i), ev))
		}
		v.add(ev, err)
	})
	v.oneWinner(w, n, trips.ErrTaken)
	equal(w, "still open", len(try[[]trips.Trip](w)(w.Open(w.Context(), 2*n))), n-1)
}

func hastyRider(w *world) {
	const n = 16
	var v verdicts
	crowd(n, func(i int) {
		v.add(w.Apply(w.Context(), keyed(fmt.Sprint("ask-", i), w.asked("rider"))))
	})
	v.oneWinner(w, n, trips.ErrRiderBusy)
	equal(w, "open", len(try[[]trips.Trip](w)(w.Open(w.Context(), 2*n))), 1)
}

func manyCopies(w *world) {
	const n = 16
	ev, _ := w.request("rider").Reserve("driver", w.tick())
	var v verdicts
	crowd(n, func(int) { v.add(w.Apply(w.Context(), keyed("accept", ev))) })
	v.allSame(w, n)
	equal(w, "events", len(try[[]trips.Event](w)(w.Events(w.Context(), ev.Trip.ID, 0))), 2)
}

func manyTaps(w *world) {
	const n = 16
	var v verdicts
	crowd(n, func(int) { v.add(w.Apply(w.Context(), keyed("tap", w.asked("rider")))) })
	v.allSame(w, n)
	equal(w, "open", len(try[[]trips.Trip](w)(w.Open(w.Context(), 2*n))), 1)
}

func cancelMeetsAccept(w *world) {
	for i := range 16 {
		rider, driver := trips.RiderID(fmt.Sprint("r", i)), trips.DriverID(fmt.Sprint("d", i))
		t := w.request(rider)
		accept, _ := t.Reserve(driver, w.tick())
		cancel, _ := t.Cancel(trips.Rider(rider), "changed my mind", w.tick())
		var v verdicts
		crowd(2, func(i int) {
			v.add(w.Apply(w.Context(), keyed(fmt.Sprint(t.ID, i), []trips.Event{accept, cancel}[i])))
		})
		v.oneWinner(w, 2, trips.ErrConflict, trips.ErrTaken)
	}
}

func doneMeetsGivenUp(w *world) {
	for i := range 16 {
		t := w.request(trips.RiderID(fmt.Sprint("r", i)))
		accept, _ := t.Reserve(trips.DriverID(fmt.Sprint("d", i)), w.tick())
		m := keyed("accept", accept)
		var v verdicts
		crowd(2, func(i int) {
			if i == 0 {
				v.add(w.Apply(w.Context(), m))
			} else {
				v.add(w.Void(w.Context(), m.Key))
			}
		})
		v.refused(w, trips.ErrVoid)
		version := map[int]uint32{0: 1, 2: 2}[len(v.won)] // neither or both say that it was done
		equal(w, "version", try[trips.Trip](w)(w.Trip(w.Context(), t.ID)).Version, version)
	}
}

func muddle(w *world) {
	const n = 16
	var open [n]trips.Trip
	for i := range open {
		open[i] = w.request(trips.RiderID(fmt.Sprint("rider-", i)))
	}
	var v verdicts
	crowd(n*n, func(i int) {
		ev, err := open[i%n].Reserve(trips.DriverID(fmt.Sprint("driver-", (i/n+i)%n)), w.tick())
		if err == nil {
			ev, err = w.Apply(w.Context(), keyed(string(ev.Trip.ID), ev))
		}
		v.add(ev, err)
	})
	v.refused(w, trips.ErrTaken, trips.ErrConflict)
	drivers, rides := map[trips.DriverID]bool{}, map[trips.TripID]bool{}
	for _, ev := range v.won {
		drivers[ev.Trip.Driver], rides[ev.Trip.ID] = true, true
	}
	driven := try[[]trips.Trip](w)(w.Driven(w.Context()))
	if len(drivers) != len(v.won) || len(rides) != len(v.won) || len(driven) != len(v.won) {
		w.Errorf("%d won: %d drivers, %d trips, %d driven", len(v.won), len(drivers), len(rides), len(driven))
	}
	// Every driver asked for every trip, so nobody may be left over.
	equal(w, "trips that found a driver", len(v.won), n)
}
