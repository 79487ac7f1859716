package store_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

// Open a SQLite file, commit a rider's request, read it back, and audit all.
func Example() {
	folder, err := os.MkdirTemp("", "ridehail-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	ctx := context.Background()
	db, closeStore, err := store.Open(ctx, filepath.Join(folder, "ridehail.db"), store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer closeStore()

	marina, airport := location.Point{Lng: 3.39, Lat: 6.45}, location.Point{Lng: 3.32, Lat: 6.58}
	quote := trips.Quote{Metres: 21_000, Fare: trips.Money{Minor: 562_000, Currency: "NGN"}, Source: "road"}
	request, err := trips.Request("trip-1", "ada", marina, airport, quote, time.Now())
	if err != nil {
		log.Fatal(err)
	}

	key := trips.IdempotencyKey{Actor: trips.Rider("ada"), ID: "tap-1", Fingerprint: "request"}
	if _, err := db.Apply(ctx, trips.Command{Key: key, Event: request}); err != nil {
		log.Fatal(err)
	}

	trip, err := db.ActiveTrip(ctx, trips.Rider("ada"))
	if err != nil {
		log.Fatal(err)
	}

	report, err := audit.Run(ctx, db, audit.Config{})
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(trip.ID, trip.State, trip.Quote.Fare)
	fmt.Println(report.Violations(), "violations in", report.Trips, "trip")

	// Output:
	// trip-1 requested 5620.00 NGN
	// 0 violations in 1 trip
}
