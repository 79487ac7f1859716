package audit

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// replayEvent makes the transition of an event again on the trip before it. The
// event is right if the result is the same: by the same person, from a legal
// state, with nothing else changed.
func replayEvent(before trips.Trip, ev trips.Event) error {
	want, err := repeatTransition(before, ev)
	if err != nil {
		return err
	}
	if to := trips.NextStates[before.State][ev.Kind]; to != ev.Trip.State {
		return fmt.Errorf("%s by %s leads to %q, not to %q", before.State, ev.Kind, to, ev.Trip.State)
	}
	if withUTCTimes(want.Trip) != withUTCTimes(ev.Trip) || want.Kind != ev.Kind || want.By != ev.By {
		return fmt.Errorf("%s by %v should leave %+v, and left %+v", ev.Kind, ev.By, withUTCTimes(want.Trip), withUTCTimes(ev.Trip))
	}
	return nil
}

// repeatTransition returns the event that the transition yields today.
func repeatTransition(before trips.Trip, ev trips.Event) (trips.Event, error) {
	t := ev.Trip

	switch ev.Kind {
	case trips.KindRequested:
		if before.Version != 0 {
			return trips.Event{}, fmt.Errorf("requested again when it was %s", before.State)
		}
		want, err := trips.Request(t.ID, t.Rider, t.Pickup, t.Dropoff, t.Quote, ev.At)
		if t.BeginsInRegion() {
			want.Trip.Region = t.Region
		}
		return want, err
	case trips.KindReserved:
		return before.Reserve(t.Driver, ev.At)
	case trips.KindArrived:
		return before.Arrive(ev.By, ev.At)
	case trips.KindOnTrip:
		return before.Start(ev.By, ev.At)
	case trips.KindCompleted:
		return before.Complete(ev.By, ev.At)
	case trips.KindExpired:
		return before.Expire(ev.By, t.Reason, ev.At)
	case trips.KindRiderCancel, trips.KindDriverCancel, trips.KindSystemCancel:
		return before.Cancel(ev.By, t.Reason, ev.At)
	}

	return trips.Event{}, fmt.Errorf("no such kind of event: %q", ev.Kind)
}

// withUTCTimes makes trips comparable with ==. Stores may return the same
// moment in other time zones.
func withUTCTimes(t trips.Trip) trips.Trip {
	for _, at := range []*time.Time{&t.RequestedAt, &t.ReservedAt, &t.ArrivedAt, &t.StartedAt, &t.EndedAt} {
		*at = at.UTC()
	}
	return t
}

// guardedFields keeps the fields that the trip's row holds.
func guardedFields(t trips.Trip) trips.Trip {
	return withUTCTimes(trips.Trip{ID: t.ID, Version: t.Version, State: t.State, Rider: t.Rider, Driver: t.Driver,
		Region: t.Region, RequestedAt: t.RequestedAt, EndedAt: t.EndedAt})
}
