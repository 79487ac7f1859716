package sqlite

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// storedTime rounds a moment to whole microseconds in UTC, so that a write
// returns what later reads return.
func storedTime(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

// storedTrip rounds all moments of a trip.
func storedTrip(t trips.Trip) trips.Trip {
	for _, at := range []*time.Time{&t.RequestedAt, &t.ReservedAt, &t.ArrivedAt, &t.StartedAt, &t.EndedAt} {
		*at = storedTime(*at)
	}
	return t
}

// firstMicrosecondFrom returns the first microsecond that is not before t, so
// that "at < firstMicrosecondFrom(t)" holds for all moments before t.
func firstMicrosecondFrom(t time.Time) int64 {
	us := t.UnixMicro()
	if time.UnixMicro(us).Before(t) && us < math.MaxInt64 {
		us++
	}
	return us
}

// driverOrNull returns NULL for no driver.
func driverOrNull(d trips.DriverID) any {
	if d == "" {
		return nil
	}
	return string(d)
}

// timeOrNull returns NULL for the zero time, and else microseconds.
func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// decodeEvent decodes a stored payload.
func decodeEvent(payload []byte) (trips.Event, error) {
	var ev trips.Event
	if err := json.Unmarshal(payload, &ev); err != nil {
		return trips.Event{}, fmt.Errorf("read a kept event: %w", err)
	}
	return ev, nil
}
