package dispatch_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// A search finds the candidates of its trip, and a policy matches a window of
// trips. A driver who declined is not a candidate again.
func ExampleSearchState() {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	drivers := sharedstate.NewDrivers(sharedstate.DriverOptions{Now: func() time.Time { return noon }})
	for i, id := range []trips.DriverID{"ada", "bola"} {
		drivers.Connect(id, "node-1")
		drivers.SetAvailable(id, true)
		at := location.Point{Lng: 3.401 + 0.01*float64(i), Lat: 6.45}
		drivers.Move(id, location.Fix{Point: at, At: noon})
	}

	policy, err := dispatch.NewPolicy(dispatch.BatchedPolicy, nil, 1)
	if err != nil {
		fmt.Println(err)
		return
	}

	trip := trips.Trip{ID: "trip-1", Pickup: location.Point{Lng: 3.40, Lat: 6.45}, RequestedAt: noon}
	search := dispatch.NewSearchState(trip, policy, dispatch.Rules{})
	for range 2 {
		candidates, _ := search.FindCandidates(drivers, policy.MinCandidates(), noon)
		for _, pair := range policy.Matcher.MatchWindow(context.Background(), []dispatch.Candidates{candidates}) {
			fmt.Println("of", len(candidates.Nearby), "candidates, offer", pair.Trip, "to", pair.Driver.ID)
			search.MarkDeclined(pair.Driver.ID)
		}
	}

	// Output:
	// of 2 candidates, offer trip-1 to ada
	// of 1 candidates, offer trip-1 to bola
}
