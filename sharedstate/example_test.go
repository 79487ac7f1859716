package sharedstate_test

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
)

// Two drivers enter and send a position. A dispatcher finds the nearest one and
// reserves it. A second reservation fails, and searches no longer find the
// driver.
func ExampleDrivers() {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	drivers := sharedstate.NewDrivers(sharedstate.DriverOptions{Now: func() time.Time { return noon }})
	pickup := location.Point{Lng: 3.40, Lat: 6.45}

	ada := drivers.Connect("ada", "node-1")
	drivers.SetAvailable("ada", true)

	ada.Move(location.Fix{Point: location.Point{Lng: 3.401, Lat: 6.45}, At: noon}, noon)

	bola := drivers.Connect("bola", "node-1")
	drivers.SetAvailable("bola", true)
	bola.Move(location.Fix{Point: location.Point{Lng: 3.41, Lat: 6.45}, At: noon}, noon)

	for _, n := range drivers.Nearest(pickup, 2, 5000, nil) {
		fmt.Printf("%s is %.0f m away\n", n.ID, n.Metres)
	}

	fmt.Println("first offer:", drivers.Reserve("ada", "offer-1"))
	fmt.Println("second offer:", drivers.Reserve("ada", "offer-2"))
	for _, n := range drivers.Nearest(pickup, 2, 5000, nil) {
		fmt.Println("still free:", n.ID)
	}

	// Output:
	// ada is 110 m away
	// bola is 1105 m away
	// first offer: <nil>
	// second offer: driver ada: driver is not available
	// still free: bola
}
