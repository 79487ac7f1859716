package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/trips"
)

var moves = []story{
	{"a whole ride is kept move by move", wholeRide},
	{"every way a trip can end is kept with its reason", everyEnd},
	{"a move from an outdated version is a conflict and changes nothing", outdated},
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
	try := try[trips.Event](w)
	var want []trips.Event
	apply := func(ev trips.Event, err error) trips.Trip {
		w.Helper()
		asked := try(ev, err)
		ev = try(w.Apply(w.Context(), keyed(w.id("command"), asked)))
		if gap := asked.At.Sub(ev.At).Abs(); gap >= time.Microsecond || ev.At.Location() != time.UTC {
			w.Errorf("%s at %v was kept as %v", ev.Kind, asked.At, ev.At)
		}
		want = append(want, ev)
		equal(w, "number", ev.Seq(), uint32(len(want)))
		now, err := w.Trip(w.Context(), ev.Trip.ID)
		if err != nil {
			w.Fatal(err)
		}
		equal(w, "the trip after "+string(ev.Kind), now, ev.Trip)
		return now
	}
	t := apply(w.asked(`a "rider" o'clock \ <é🛺>`), nil)
	t = apply(t.Reserve("driver", w.tick()))
	t = apply(t.Arrive(trips.Driver("driver"), w.tick()))
	t = apply(t.Start(trips.Driver("driver"), w.tick()))
	t = apply(t.Complete(trips.Driver("driver"), w.tick()))
	equal(w, "state", t.State, trips.Completed)
	for after := range uint32(7) {
		got, err := w.Events(w.Context(), t.ID, after)
		if err != nil {
			w.Fatal(err)
		}
		same(w, "events", got, want[min(int(after), len(want)):])
	}
}

func everyEnd(w *world) {
	const reason = `rain & "wind" 'n' \ <b>🌧</b>`
	d := trips.Driver("driver")
	for _, end := range []func() (trips.Event, error){
		func() (trips.Event, error) { return w.request("a").Expire(trips.System("node"), reason, w.tick()) },
		func() (trips.Event, error) { return w.request("b").Cancel(trips.Rider("b"), reason, w.tick()) },
		func() (trips.Event, error) {
			return w.commit(w.request("c").Reserve("driver", w.tick())).Cancel(d, reason, w.tick())
		},
		func() (trips.Event, error) {
			return w.onTrip("d", "driver").Cancel(trips.System("x"), reason, w.tick())
		},
	} {
		t := w.commit(end())
		now, err := w.Trip(w.Context(), t.ID)
		if err != nil || t.Reason != reason || t.State.Active() {
			w.Errorf("ended as %+v: %v", t, err)
		}
		equal(w, "the trip", now, t)
	}
}

func outdated(w *world) {
	old := w.request("rider")
	now := w.commit(old.Reserve("first", w.tick()))
	late, err := old.Reserve("second", w.tick())
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.Apply(w.Context(), keyed("late", late)); !errors.Is(err, trips.ErrConflict) {
		w.Errorf("got %v, want a conflict", err)
	}
	early, _ := now.Arrive(trips.Driver("first"), w.tick())
	early.Trip.Version += 4
	if _, err := w.Apply(w.Context(), keyed("early", early)); !errors.Is(err, trips.ErrConflict) {
		w.Errorf("a version from the future: got %v, want a conflict", err)
	}
	equal(w, "the trip", try[trips.Trip](w)(w.Trip(w.Context(), old.ID)), now)
	equal(w, "events", len(try[[]trips.Event](w)(w.Events(w.Context(), old.ID, 0))), 2)
	if _, err := w.Active(w.Context(), trips.Driver("second")); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("the second driver's trip: %v", err)
	}
}

func idTaken(w *world) {
	first := w.request("rider")
	again := w.asked("another rider")
	again.Trip.ID = first.ID
	if _, err := w.Apply(w.Context(), keyed("again", again)); !errors.Is(err, trips.ErrConflict) {
		w.Errorf("got %v, want a conflict", err)
	}
	equal(w, "the trip", try[trips.Trip](w)(w.Trip(w.Context(), first.ID)), first)
}

func unknownTrip(w *world) {
	ev := w.asked("rider")
	if _, err := w.Trip(w.Context(), ev.Trip.ID); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("trip: %v", err)
	}
	if evs, err := w.Events(w.Context(), ev.Trip.ID, 0); err != nil || len(evs) != 0 {
		w.Errorf("events: %v, %v", evs, err)
	}
	if _, err := w.Recorded(w.Context(), keyed("k", ev).Key); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("recorded: %v", err)
	}
	second, _ := ev.Trip.Reserve("driver", w.tick())
	if _, err := w.Apply(w.Context(), keyed("k", second)); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("apply: %v", err)
	}
}

func oneRider(w *world) {
	first := w.request("rider")
	second := w.asked("rider")
	if _, err := w.Apply(w.Context(), keyed("k", second)); !errors.Is(err, trips.ErrRiderBusy) {
		w.Errorf("got %v, want a busy rider", err)
	}
	if _, err := w.Trip(w.Context(), second.Trip.ID); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("the second trip: %v", err)
	}
	w.commit(first.Cancel(trips.Rider("rider"), "too long", w.tick()))
	w.commit(second, nil)
}

func oneDriver(w *world) {
	first := w.onTrip("rider", "driver")
	open := w.request("another rider")
	second, _ := open.Reserve("driver", w.tick())
	if _, err := w.Apply(w.Context(), keyed("k", second)); !errors.Is(err, trips.ErrTaken) {
		w.Errorf("got %v, want the driver taken", err)
	}
	equal(w, "the second trip", try[trips.Trip](w)(w.Trip(w.Context(), open.ID)), open)
	w.commit(first.Complete(trips.Driver("driver"), w.tick()))
	w.commit(second, nil)
}

func sentAgain(w *world) {
	asked := w.asked("rider")
	first := try[trips.Event](w)(w.Apply(w.Context(), keyed("tap", asked)))
	t := w.commit(first.Trip.Reserve("driver", w.tick()))
	accept, _ := t.Arrive(trips.Driver("driver"), w.tick())
	arrived := try[trips.Event](w)(w.Apply(w.Context(), keyed("here", accept)))
	w.commit(arrived.Trip.Start(trips.Driver("driver"), w.tick()))

	again := asked
	again.Trip.ID, again.At = "another id", w.tick() // the desk gives each request a new id
	for range 2 {
		equal(w, "request", try[trips.Event](w)(w.Apply(w.Context(), keyed("tap", again))), first)
		equal(w, "arrival", try[trips.Event](w)(w.Apply(w.Context(), keyed("here", accept))), arrived)
		equal(w, "recorded", try[trips.Event](w)(w.Recorded(w.Context(), keyed("here", accept).Key)), arrived)
	}
	// Even a move that would be possible now has no second effect.
	now := try[trips.Trip](w)(w.Trip(w.Context(), t.ID))
	complete, _ := now.Complete(trips.Driver("driver"), w.tick())
	m := keyed("here", complete)
	m.Key.Print = keyed("here", accept).Key.Print
	equal(w, "arrival", try[trips.Event](w)(w.Apply(w.Context(), m)), arrived)
	equal(w, "events", len(try[[]trips.Event](w)(w.Events(w.Context(), t.ID, 0))), 4)
	equal(w, "notices", len(w.pending(4)), 4)
}

func keyReused(w *world) {
	t := w.request("rider")
	reserve, _ := t.Reserve("driver", w.tick())
	m := keyed("k", reserve)
	reserved := try[trips.Event](w)(w.Apply(w.Context(), m))
	arrive, _ := reserved.Trip.Arrive(trips.Driver("driver"), w.tick())
	other := keyed("k", arrive)
	if _, err := w.Apply(w.Context(), other); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("apply: %v", err)
	}
	if _, err := w.Recorded(w.Context(), other.Key); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("recorded: %v", err)
	}
	equal(w, "the trip", try[trips.Trip](w)(w.Trip(w.Context(), t.ID)), reserved.Trip)
	other.Key.Actor = trips.Driver("another driver") // whose id this is not
	equal(w, "version", try[trips.Event](w)(w.Apply(w.Context(), other)).Seq(), 3)
}

func refusedIsForgotten(w *world) {
	busy := w.onTrip("rider", "driver")
	accept, _ := w.request("another rider").Reserve("driver", w.tick())
	m := keyed("k", accept)
	if _, err := w.Apply(w.Context(), m); !errors.Is(err, trips.ErrTaken) {
		w.Fatalf("got %v, want the driver taken", err)
	}
	if _, err := w.Recorded(w.Context(), m.Key); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("recorded: %v", err)
	}
	w.commit(busy.Complete(trips.Driver("driver"), w.tick()))
	if _, err := w.Apply(w.Context(), m); err != nil {
		w.Errorf("again, when the driver is free: %v", err)
	}
}

func givenUp(w *world) {
	t := w.request("rider")
	reserve, _ := t.Reserve("driver", w.tick())
	lost, done := keyed("lost", reserve), keyed("done", reserve)
	void := func(k trips.Key, want error) {
		w.Helper()
		if _, err := w.Void(w.Context(), k); !errors.Is(err, want) {
			w.Errorf("void: %v, want %v", err, want)
		}
	}
	for range 2 {
		void(lost.Key, trips.ErrVoid)
		if _, err := w.Apply(w.Context(), lost); !errors.Is(err, trips.ErrVoid) {
			w.Errorf("apply: %v", err)
		}
		if _, err := w.Recorded(w.Context(), lost.Key); !errors.Is(err, trips.ErrVoid) {
			w.Errorf("recorded: %v", err)
		}
	}
	equal(w, "the trip", try[trips.Trip](w)(w.Trip(w.Context(), t.ID)), t)
	reserved := try[trips.Event](w)(w.Apply(w.Context(), done))
	equal(w, "what was done", try[trips.Event](w)(w.Void(w.Context(), done.Key)), reserved)
	equal(w, "done again", try[trips.Event](w)(w.Apply(w.Context(), done)), reserved)
	done.Key.Print = "another thing"
	void(done.Key, trips.ErrKeyReused)
	lost.Key.Actor = trips.Driver("another driver") // whose id this is not
	void(lost.Key, trips.ErrVoid)
	equal(w, "notices", len(w.pending(2)), 2)
}

func contextEnded(w *world) {
	t := w.request("rider")
	ctx, cancel := context.WithCancel(w.Context())
	cancel()
	ev, _ := t.Reserve("driver", w.tick())
	if _, err := w.Apply(ctx, keyed("k", ev)); !errors.Is(err, context.Canceled) {
		w.Errorf("apply: %v", err)
	}
	if _, err := w.Trip(ctx, t.ID); !errors.Is(err, context.Canceled) {
		w.Errorf("trip: %v", err)
	}
	// What it had begun may have happened or not; the key tells, and asking again settles it.
	equal(w, "version", try[trips.Event](w)(w.Apply(w.Context(), keyed("k", ev))).Seq(), 2)
}
