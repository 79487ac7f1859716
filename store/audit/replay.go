package audit

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// replay asks the verb behind an event to make the same move on the trip before it. The log is right if the verb yields
// the very same event: by the right person, from the right state, with nothing else changed.
func replay(before trips.Trip, ev trips.Event) error {
	want, err := verb(before, ev)
	if err != nil {
		return err
	}
	if to := trips.Next[before.State][ev.Kind]; to != ev.Trip.State {
		return fmt.Errorf("%s by %s leads to %q, not to %q", before.State, ev.Kind, to, ev.Trip.State)
	}
	if plain(want.Trip) != plain(ev.Trip) || want.Kind != ev.Kind || want.By != ev.By {
		return fmt.Errorf("%s by %v should leave %+v, and left %+v", ev.Kind, ev.By, plain(want.Trip), plain(ev.Trip))
	}
	return nil
}

func verb(before trips.Trip, ev trips.Event) (trips.Event, error) {
	t := ev.Trip
	switch ev.Kind {
	case trips.KindRequested:
		if before.Version != 0 {
			return trips.Event{}, fmt.Errorf("requested again when it was %s", before.State)
		}
		return trips.Request(t.ID, t.Rider, t.Pickup, t.Dropoff, t.Quote, ev.At)
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

// plain makes trips comparable with ==: stores may return the same moment in other time zones.
func plain(t trips.Trip) trips.Trip {
	for _, at := range []*time.Time{&t.RequestedAt, &t.ReservedAt, &t.ArrivedAt, &t.StartedAt, &t.EndedAt} {
		*at = at.UTC()
	}
	return t
}

// guard is the part of a trip that its row holds.
func guard(t trips.Trip) trips.Trip {
	return plain(trips.Trip{ID: t.ID, Version: t.Version, State: t.State, Rider: t.Rider, Driver: t.Driver,
		Region: t.Region, RequestedAt: t.RequestedAt, EndedAt: t.EndedAt})
}
