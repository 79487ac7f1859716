package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

var moveStories = []story{
	{"a whole ride is kept move by move", wholeRide},
	{"every way a trip can end is kept with its reason", everyEnd},
	{"a move from an outdated version is a conflict and changes nothing", outdatedMove},
	{"a trip id is given once", idTaken},
	{"an unknown trip is not found", unknownTrip},
	{"a rider has one active trip at a time", oneRider},
	{"a driver has one active trip at a time", oneDriver},
	{"a command sent again answers as the first time and changes nothing", sentAgain},
	{"a command id used for something else is refused", keyReused},
	{"a refused command is not remembered", refusedIsForgotten},
	{"a command that was given up is never done, and one that was done is not given up", givenUp},
	{"a call whose context has ended returns", contextEnded},
}

func wholeRide(w *world) {
	try := mustReturn[trips.Event](w)
	var want []trips.Event
	apply := func(ev trips.Event, err error) trips.Trip {
		w.Helper()
		asked := try(ev, err)
		ev = try(w.Apply(w.Context(), newMove(w.nextID("command"), asked)))
		if gap := asked.At.Sub(ev.At).Abs(); gap >= time.Microsecond || ev.At.Location() != time.UTC {
			w.Errorf("%s at %v was kept as %v", ev.Kind, asked.At, ev.At)
		}
		want = append(want, ev)
		checkEqual(w, "number", ev.Seq(), uint32(len(want)))

		now, err := w.Trip(w.Context(), ev.Trip.ID)
		if err != nil {
			w.Fatal(err)
		}

		checkEqual(w, "the trip after "+string(ev.Kind), now, ev.Trip)
		return now
	}

	t := apply(w.newRequest(`a "rider" o'clock \ <é🛺>`), nil)
	t = apply(t.Reserve("driver", w.nextTime()))
	t = apply(t.Arrive(trips.Driver("driver"), w.nextTime())) // as an earlier build did
	t = apply(t.MakeStep(trips.Step{Kind: trips.KindOnTrip, Car: &trips.CarFix{Point: here, Accuracy: 12.5, Age: 345678901, Pace: 5}},
		trips.Driver("driver"), w.nextTime()))
	halfway := location.Point{Lng: (here.Lng + there.Lng) / 2, Lat: (here.Lat + there.Lat) / 2}
	t = apply(t.MakeStep(trips.Step{Kind: trips.KindCompleted, Early: true, Car: &trips.CarFix{Point: halfway}},
		trips.Driver("driver"), w.nextTime()))
	checkEqual(w, "state", t.State, trips.Completed)

	for after := range uint32(7) {
		got, err := w.Events(w.Context(), t.ID, after)
		if err != nil {
			w.Fatal(err)
		}
		checkSame(w, "events", got, want[min(int(after), len(want)):])
	}
}

func everyEnd(w *world) {
	const reason = `rain & "wind" 'n' \ <b>🌧</b>`
	d := trips.Driver("driver")
	for _, end := range []func() (trips.Event, error){
		func() (trips.Event, error) {
			return w.requestTrip("a").Expire(trips.System("node"), reason, w.nextTime())
		},
		func() (trips.Event, error) { return w.requestTrip("b").Cancel(trips.Rider("b"), reason, w.nextTime()) },
		func() (trips.Event, error) {
			return w.commitMove(w.requestTrip("c").Reserve("driver", w.nextTime())).Cancel(d, reason, w.nextTime())
		},
		func() (trips.Event, error) {
			return w.rideToOnTrip("d", "driver").Cancel(trips.System("x"), reason, w.nextTime())
		},
	} {
		t := w.commitMove(end())
		now, err := w.Trip(w.Context(), t.ID)
		if err != nil || t.Reason != reason || t.State.IsActive() {
			w.Errorf("ended as %+v: %v", t, err)
		}
		checkEqual(w, "the trip", now, t)
	}
}

func outdatedMove(w *world) {
	old := w.requestTrip("rider")
	now := w.commitMove(old.Reserve("first", w.nextTime()))

	late, err := old.Reserve("second", w.nextTime())
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.Apply(w.Context(), newMove("late", late)); !errors.Is(err, trips.ErrConflict) {
		w.Errorf("got %v, want a conflict", err)
	}

	early, _ := now.Arrive(trips.Driver("first"), w.nextTime())
	early.Trip.Version += 4
	if _, err := w.Apply(w.Context(), newMove("early", early)); !errors.Is(err, trips.ErrConflict) {
		w.Errorf("a version from the future: got %v, want a conflict", err)
	}
	checkEqual(w, "the trip", mustReturn[trips.Trip](w)(w.Trip(w.Context(), old.ID)), now)
	checkEqual(w, "events", len(mustReturn[[]trips.Event](w)(w.Events(w.Context(), old.ID, 0))), 2)
	if _, err := w.ActiveTrip(w.Context(), trips.Driver("second")); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("the second driver's trip: %v", err)
	}
}

func idTaken(w *world) {
	first := w.requestTrip("rider")
	again := w.newRequest("another rider")
	again.Trip.ID = first.ID
	if _, err := w.Apply(w.Context(), newMove("again", again)); !errors.Is(err, trips.ErrConflict) {
		w.Errorf("got %v, want a conflict", err)
	}
	checkEqual(w, "the trip", mustReturn[trips.Trip](w)(w.Trip(w.Context(), first.ID)), first)
}

func unknownTrip(w *world) {
	ev := w.newRequest("rider")
	if _, err := w.Trip(w.Context(), ev.Trip.ID); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("trip: %v", err)
	}
	if evs, err := w.Events(w.Context(), ev.Trip.ID, 0); err != nil || len(evs) != 0 {
		w.Errorf("events: %v, %v", evs, err)
	}
	if _, err := w.RecordedEvent(w.Context(), newMove("k", ev).Key); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("recorded: %v", err)
	}

	second, _ := ev.Trip.Reserve("driver", w.nextTime())
	if _, err := w.Apply(w.Context(), newMove("k", second)); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("apply: %v", err)
	}
}

func oneRider(w *world) {
	first := w.requestTrip("rider")
	second := w.newRequest("rider")
	if _, err := w.Apply(w.Context(), newMove("k", second)); !errors.Is(err, trips.ErrRiderBusy) {
		w.Errorf("got %v, want a busy rider", err)
	}
	if _, err := w.Trip(w.Context(), second.Trip.ID); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("the second trip: %v", err)
	}

	w.commitMove(first.Cancel(trips.Rider("rider"), "too long", w.nextTime()))
	w.commitMove(second, nil)
}

func oneDriver(w *world) {
	first := w.rideToOnTrip("rider", "driver")
	open := w.requestTrip("another rider")
	second, _ := open.Reserve("driver", w.nextTime())
	if _, err := w.Apply(w.Context(), newMove("k", second)); !errors.Is(err, trips.ErrTaken) {
		w.Errorf("got %v, want the driver taken", err)
	}

	checkEqual(w, "the second trip", mustReturn[trips.Trip](w)(w.Trip(w.Context(), open.ID)), open)
	w.commitMove(first.Complete(trips.Driver("driver"), w.nextTime()))
	w.commitMove(second, nil)
}

func sentAgain(w *world) {
	asked := w.newRequest("rider")
	first := mustReturn[trips.Event](w)(w.Apply(w.Context(), newMove("tap", asked)))
	t := w.commitMove(first.Trip.Reserve("driver", w.nextTime()))
	accept, _ := t.Arrive(trips.Driver("driver"), w.nextTime())
	arrived := mustReturn[trips.Event](w)(w.Apply(w.Context(), newMove("here", accept)))
	w.commitMove(arrived.Trip.Start(trips.Driver("driver"), w.nextTime()))

	again := asked

	// trips.Service gives each request a new id.
	again.Trip.ID, again.At = "another id", w.nextTime()

	for range 2 {
		checkEqual(w, "request", mustReturn[trips.Event](w)(w.Apply(w.Context(), newMove("tap", again))), first)
		checkEqual(w, "arrival", mustReturn[trips.Event](w)(w.Apply(w.Context(), newMove("here", accept))), arrived)
		checkEqual(w, "recorded", mustReturn[trips.Event](w)(w.RecordedEvent(w.Context(), newMove("here", accept).Key)), arrived)
	}

	// Even a move that would be possible now has no second effect.
	now := mustReturn[trips.Trip](w)(w.Trip(w.Context(), t.ID))
	complete, _ := now.Complete(trips.Driver("driver"), w.nextTime())
	m := newMove("here", complete)
	m.Key.Fingerprint = newMove("here", accept).Key.Fingerprint
	checkEqual(w, "arrival", mustReturn[trips.Event](w)(w.Apply(w.Context(), m)), arrived)
	checkEqual(w, "events", len(mustReturn[[]trips.Event](w)(w.Events(w.Context(), t.ID, 0))), 4)
	checkEqual(w, "outbox messages", len(w.awaitPending(4)), 4)
}

func keyReused(w *world) {
	t := w.requestTrip("rider")
	reserve, _ := t.Reserve("driver", w.nextTime())
	m := newMove("k", reserve)
	reserved := mustReturn[trips.Event](w)(w.Apply(w.Context(), m))
	arrive, _ := reserved.Trip.Arrive(trips.Driver("driver"), w.nextTime())

	other := newMove("k", arrive)
	if _, err := w.Apply(w.Context(), other); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("apply: %v", err)
	}
	if _, err := w.RecordedEvent(w.Context(), other.Key); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("recorded: %v", err)
	}

	checkEqual(w, "the trip", mustReturn[trips.Trip](w)(w.Trip(w.Context(), t.ID)), reserved.Trip)
	other.Key.Actor = trips.Driver("another driver") // whose id this is not
	checkEqual(w, "version", mustReturn[trips.Event](w)(w.Apply(w.Context(), other)).Seq(), 3)
}

func refusedIsForgotten(w *world) {
	busy := w.rideToOnTrip("rider", "driver")
	accept, _ := w.requestTrip("another rider").Reserve("driver", w.nextTime())

	m := newMove("k", accept)
	if _, err := w.Apply(w.Context(), m); !errors.Is(err, trips.ErrTaken) {
		w.Fatalf("got %v, want the driver taken", err)
	}
	if _, err := w.RecordedEvent(w.Context(), m.Key); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("recorded: %v", err)
	}

	w.commitMove(busy.Complete(trips.Driver("driver"), w.nextTime()))
	if _, err := w.Apply(w.Context(), m); err != nil {
		w.Errorf("again, when the driver is free: %v", err)
	}
}

func givenUp(w *world) {
	t := w.requestTrip("rider")
	reserve, _ := t.Reserve("driver", w.nextTime())
	lost, done := newMove("lost", reserve), newMove("done", reserve)
	void := func(k trips.IdempotencyKey, want error) {
		w.Helper()
		if _, err := w.Abandon(w.Context(), k); !errors.Is(err, want) {
			w.Errorf("void: %v, want %v", err, want)
		}
	}

	for range 2 {
		void(lost.Key, trips.ErrAbandoned)
		if _, err := w.Apply(w.Context(), lost); !errors.Is(err, trips.ErrAbandoned) {
			w.Errorf("apply: %v", err)
		}
		if _, err := w.RecordedEvent(w.Context(), lost.Key); !errors.Is(err, trips.ErrAbandoned) {
			w.Errorf("recorded: %v", err)
		}
	}

	checkEqual(w, "the trip", mustReturn[trips.Trip](w)(w.Trip(w.Context(), t.ID)), t)
	reserved := mustReturn[trips.Event](w)(w.Apply(w.Context(), done))
	checkEqual(w, "what was done", mustReturn[trips.Event](w)(w.Abandon(w.Context(), done.Key)), reserved)
	checkEqual(w, "done again", mustReturn[trips.Event](w)(w.Apply(w.Context(), done)), reserved)
	done.Key.Fingerprint = "another thing"
	void(done.Key, trips.ErrKeyReused)
	lost.Key.Actor = trips.Driver("another driver") // whose id this is not
	void(lost.Key, trips.ErrAbandoned)
	checkEqual(w, "outbox messages", len(w.awaitPending(2)), 2)
}

func contextEnded(w *world) {
	t := w.requestTrip("rider")
	ctx, cancel := context.WithCancel(w.Context())
	cancel()

	ev, _ := t.Reserve("driver", w.nextTime())
	if _, err := w.Apply(ctx, newMove("k", ev)); !errors.Is(err, context.Canceled) {
		w.Errorf("apply: %v", err)
	}
	if _, err := w.Trip(ctx, t.ID); !errors.Is(err, context.Canceled) {
		w.Errorf("trip: %v", err)
	}

	// What it had begun may have happened or not; the key tells, and asking
	// again settles it.
	checkEqual(w, "version", mustReturn[trips.Event](w)(w.Apply(w.Context(), newMove("k", ev))).Seq(), 2)
}
