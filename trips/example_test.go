package trips_test

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// A trip is a value. Each transition returns the event, with the trip as it is
// afterwards, or says why the trip cannot make it.
func Example() {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	pickup := location.Point{Lng: 3.39, Lat: 6.45}
	dropoff := location.Point{Lng: 3.32, Lat: 6.58}
	quote := trips.Quote{Metres: 9_000, Duration: 20 * time.Minute, Source: "road",
		Fare: trips.DefaultTariff.Fare(9_000, 20*time.Minute)}

	ev, err := trips.Request("trip-1", "ada", pickup, dropoff, quote, at)
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(ev.Seq(), ev.Trip.State, ev.Trip.Quote.Fare)

	driver := trips.Driver("chidi")
	if _, err := ev.Trip.Complete(driver, at); err != nil {
		fmt.Println("too early:", err)
	}

	for _, step := range []func(t trips.Trip, by trips.Actor, at time.Time) (trips.Event, error){
		func(t trips.Trip, _ trips.Actor, at time.Time) (trips.Event, error) { return t.Reserve("chidi", at) },
		trips.Trip.Arrive, trips.Trip.Start, trips.Trip.Complete,
	} {
		at = at.Add(5 * time.Minute)
		if ev, err = step(ev.Trip, driver, at); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ev.Seq(), ev.Trip.State)
	}

	// Output:
	// 1 requested 2620.00 NGN
	// too early: trip trip-1: the trip belongs to someone else
	// 2 reserved
	// 3 arrived
	// 4 on_trip
	// 5 completed
}
