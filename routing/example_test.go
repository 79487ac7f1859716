package routing_test

import (
	"context"
	"fmt"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

func Example() {
	city, err := routing.Open("1") // the generated city of seed 1
	if err != nil {
		fmt.Println(err)
		return
	}

	router := routing.NewRouter(city)
	spots := city.Hotspots()
	pickup, dropoff := spots[0].Point, spots[1].Point

	way, err := router.Route(context.Background(), pickup, dropoff)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("from %s to %s: longer than by air: %t\n", spots[0].Name, spots[1].Name,
		way.Metres > location.MetresBetween(pickup, dropoff))

	// How long two cars would take to the pickup.
	cars := []location.Point{dropoff, spots[2].Point}
	times, err := router.Matrix(context.Background(), cars, []location.Point{pickup})
	if err != nil {
		fmt.Println(err)
		return
	}

	for i, row := range times {
		fmt.Printf("car %d arrives: %t\n", i, row[0] < routing.NoWay)
	}
	// Output:
	// from Central Market to Ferry Terminal: longer than by air: true
	// car 0 arrives: true
	// car 1 arrives: true
}
