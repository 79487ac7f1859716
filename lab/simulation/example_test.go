package simulation_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/lab/simulation"
	"github.com/ridehail/ridehail/routing"
)

func ExampleCompare() {
	city, err := routing.Open("1")
	if err != nil {
		fmt.Println(err)
		return
	}

	cfg := simulation.Config{City: city, Drivers: 20, RidersPerHour: 60, Hours: 0.5, Begin: 17, Surge: true}
	report, err := simulation.Compare(context.Background(), cfg, simulation.Variants([]string{"greedy", "batched"}, []int{1}),
		simulation.ConsecutiveSeeds(1, 2), 2, func(simulation.Result, time.Duration) {})
	if err != nil {
		fmt.Println(err)
		return
	}

	greedy, batched := report.Policies[0], report.Policies[1]
	for i := range greedy.Runs {
		fmt.Printf("seed %d: the same people: %t\n", greedy.Runs[i].Seed, greedy.Runs[i].Wishes == batched.Runs[i].Wishes)
	}
	// Output:
	// seed 1: the same people: true
	// seed 2: the same people: true
}
