package races

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/lab/broken"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// The people of the second part.
const (
	dispatchers = 8
	requests    = 100
	cars        = 60
)

// booker finds a driver for a trip, or "" when none is free.
type booker struct {
	how      string
	repaired bool
	book     func(t trips.Trip, think func()) (trips.DriverID, error)
}

// noon is the time of the second part, in which nothing grows old.
var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func placeInTown(rng *rand.Rand) location.Point {
	return location.Point{Lng: 3.35 + rng.Float64()/10, Lat: 6.45 + rng.Float64()/10}
}

// parkCars returns the app's shared state with all cars free, at places that
// follow from the seed.
func parkCars(seed uint64) *sharedstate.Drivers {
	drivers := sharedstate.NewDrivers(sharedstate.DriverOptions{Now: func() time.Time { return noon }})
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range cars {
		id := trips.DriverID(fmt.Sprintf("driver-%d", i+1))
		handle := drivers.Connect(id, "lab")
		drivers.SetAvailable(id, true)
		handle.Move(location.Fix{Point: placeInTown(rng), At: noon}, noon)
	}
	return drivers
}

// openTrips asks for n trips in the store. Their riders and places follow from
// the seed.
func openTrips(ctx context.Context, store trips.Store, seed uint64, n int) ([]trips.Trip, error) {
	service := &trips.Service{Store: store, Now: func() time.Time { return noon }}
	rng := rand.New(rand.NewPCG(seed, 2))
	all := make([]trips.Trip, n)
	for i := range all {
		rider := trips.RiderID(fmt.Sprintf("rider-%d", i+1))
		key := trips.IdempotencyKey{Actor: trips.Rider(rider), ID: "request", Fingerprint: "request"}
		quote := trips.Quote{Metres: 1, Duration: time.Second, Fare: trips.Money{Minor: 1, Currency: "NGN"}, Source: "straight_line"}
		ev, err := service.RequestTrip(ctx, key, rider, placeInTown(rng), placeInTown(rng), quote)
		if err != nil {
			return nil, err
		}
		all[i] = ev.Trip
	}
	return all, nil
}

// bookAll lets the dispatchers book all trips and returns how many drivers were
// promised to two riders or more, as the riders were told.
func bookAll(ctx context.Context, b booker, all []trips.Trip, think func()) (twice int, err error) {
	told := make([]trips.DriverID, len(all))
	var next atomic.Int64
	team, ctx := errgroup.WithContext(ctx)
	for range dispatchers {
		team.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) || ctx.Err() != nil {
					return ctx.Err()
				}
				var err error
				if told[i], err = b.book(all[i], think); err != nil {
					return fmt.Errorf("%s: %w", b.how, err)
				}
			}
		})
	}

	if err := team.Wait(); err != nil {
		return 0, err
	}
	return countTwice(told), nil
}

func countTwice(told []trips.DriverID) (twice int) {
	riders := map[trips.DriverID]int{}
	for _, d := range told {
		if riders[d]++; d != "" && riders[d] == 2 {
			twice++
		}
	}
	return twice
}

// listBookers returns the four ways to book, each with cars of its own.
func listBookers(ctx context.Context, store trips.Store, seed uint64) []booker {
	once, again, reserved, indexed := parkCars(seed), parkCars(seed), parkCars(seed), parkCars(seed)
	return []booker{
		{how: "look, then take", book: func(t trips.Trip, think func()) (trips.DriverID, error) {
			return broken.LookThenTake(once, t.Pickup, t.ID, think), ctx.Err()
		}},
		{how: "look twice, then take", book: func(t trips.Trip, think func()) (trips.DriverID, error) {
			return broken.LookTwice(ctx, again, t.Pickup, t.ID, think), ctx.Err()
		}},
		{how: "reserve", repaired: true, book: func(t trips.Trip, think func()) (trips.DriverID, error) {
			return reserveNearest(ctx, reserved, t, think)
		}},
		{how: "unique index", repaired: true, book: func(t trips.Trip, think func()) (trips.DriverID, error) {
			return commitNearest(ctx, indexed, store, t, think)
		}},
	}
}

// reserveNearest looks for the nearest free driver and reserves that one by
// compare-and-set, as the dispatcher does. When another one was faster, it looks
// again.
func reserveNearest(ctx context.Context, drivers *sharedstate.Drivers, t trips.Trip, think func()) (trips.DriverID, error) {
	for ctx.Err() == nil {
		near := drivers.Nearest(t.Pickup, 1, farAway, nil)
		if len(near) == 0 {
			return "", nil
		}

		think()
		err := drivers.Reserve(near[0].ID, string(t.ID))
		if errors.Is(err, sharedstate.ErrNotAvailable) {
			continue
		}
		drivers.Assign(near[0].ID, t.ID, sharedstate.Reserved)
		return near[0].ID, err
	}
	return "", ctx.Err()
}

// commitNearest reserves nothing: it looks and commits, and the store's unique
// index over active trips refuses the second rider of a driver.
func commitNearest(ctx context.Context, drivers *sharedstate.Drivers, store trips.Store, t trips.Trip, think func()) (trips.DriverID, error) {
	for ctx.Err() == nil {
		near := drivers.Nearest(t.Pickup, 1, farAway, nil)
		if len(near) == 0 {
			return "", nil
		}

		think()
		id := near[0].ID
		ev, err := t.Reserve(id, noon)
		if err != nil {
			return "", err
		}
		key := trips.IdempotencyKey{Actor: trips.Driver(id), ID: string(t.ID), Fingerprint: "accept"}
		if _, err = store.Apply(ctx, trips.Command{Key: key, Event: ev}); errors.Is(err, trips.ErrTaken) {
			continue
		}
		if err == nil {
			drivers.Assign(id, t.ID, sharedstate.Reserved)
		}
		return id, err
	}
	return "", ctx.Err()
}

// farAway reaches every driver of the town, in metres.
const farAway = 100_000

func driversOf(all []trips.Trip) (out []trips.DriverID) {
	for _, t := range all {
		out = append(out, t.Driver)
	}
	return out
}
