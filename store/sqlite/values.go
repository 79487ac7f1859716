package sqlite

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// kept is a moment as the database keeps it: whole microseconds, UTC. What a write returns is what later reads return.
func kept(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

func keptTrip(t trips.Trip) trips.Trip {
	for _, at := range []*time.Time{&t.RequestedAt, &t.ReservedAt, &t.ArrivedAt, &t.StartedAt, &t.EndedAt} {
		*at = kept(*at)
	}
	return t
}

// before is the first microsecond that is not before t, so that "at < before(t)" holds for all moments before t.
func before(t time.Time) int64 {
	us := t.UnixMicro()
	if time.UnixMicro(us).Before(t) && us < math.MaxInt64 {
		us++
	}
	return us
}

// orNull makes NULL of no driver.
func orNull(d trips.DriverID) any {
	if d == "" {
		return nil
	}
	return string(d)
}

// momentOrNull makes NULL of what has not happened.
func momentOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// event reads a payload back.
func event(payload []byte) (trips.Event, error) {
	var ev trips.Event
	if err := json.Unmarshal(payload, &ev); err != nil {
		return trips.Event{}, fmt.Errorf("read a kept event: %w", err)
	}
	return ev, nil
}
