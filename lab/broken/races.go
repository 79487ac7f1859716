package broken

import (
	"context"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// ReadThenWrite counts a number up in three steps. What another worker writes
// between the read and the write is overwritten, and so lost. It returns what it
// wrote. The same mistake is made in memory, in Redis and in SQL.
func ReadThenWrite(read func() (int64, error), think func(), write func(int64) error) (int64, error) {
	n, err := read()
	if err != nil {
		return 0, err
	}

	think()
	return n + 1, write(n + 1)
}

// farAway is a distance that reaches every driver of a city, in metres.
const farAway = 100_000

// LookThenTake looks for the nearest free driver and takes that one. Whether the
// driver is still free, it does not ask. It returns "" when no driver is free.
func LookThenTake(drivers *sharedstate.Drivers, pickup location.Point, trip trips.TripID, think func()) trips.DriverID {
	near := drivers.Nearest(pickup, 1, farAway, nil)
	if len(near) == 0 {
		return ""
	}

	think()
	drivers.Assign(near[0].ID, trip, sharedstate.Reserved)
	return near[0].ID
}

// LookTwice is LookThenTake with a second look, which is as old as the first
// one by the time the driver is taken.
func LookTwice(ctx context.Context, drivers *sharedstate.Drivers, pickup location.Point, trip trips.TripID, think func()) trips.DriverID {
	for ctx.Err() == nil {
		near := drivers.Nearest(pickup, 1, farAway, nil)
		if len(near) == 0 {
			return ""
		}

		think()
		if d, _ := drivers.Get(near[0].ID); d.Status != sharedstate.Available {
			continue
		}

		think()
		drivers.Assign(near[0].ID, trip, sharedstate.Reserved)
		return near[0].ID
	}
	return ""
}
