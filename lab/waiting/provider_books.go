package waiting

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/trips"
)

func rideID(i int) trips.TripID  { return trips.TripID(fmt.Sprintf("ride-%03d", i)) }
func driverOf(i int) trips.Actor { return trips.Driver(trips.DriverID(fmt.Sprintf("driver-%03d", i))) }
func keyOf(a trips.Actor, step string) trips.IdempotencyKey {
	return trips.IdempotencyKey{Actor: a, ID: step, Fingerprint: step}
}

// prepareRides writes a database in which rides are under way.
func prepareRides(ctx context.Context, path string, rides int) error {
	if err := sqlite.Migrate(ctx, path); err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, path, sqlite.Options{Relaxed: true})
	if err != nil {
		return err
	}

	var writing errgroup.Group
	writing.SetLimit(8)
	for i := range rides {
		writing.Go(func() error { return beginRide(ctx, db, i) })
	}
	return errors.Join(writing.Wait(), db.Close())
}

// beginRide writes one ride, up to the rider being in the car.
func beginRide(ctx context.Context, db trips.Store, i int) error {
	service := trips.Service{Store: db, Now: time.Now}
	rider, driver := trips.RiderID(fmt.Sprintf("rider-%03d", i)), driverOf(i)
	marina, airport := location.Point{Lng: 3.39, Lat: 6.45}, location.Point{Lng: 3.32, Lat: 6.58}
	ev, err := trips.Request(rideID(i), rider, marina, airport, trips.Quote{Fare: fare, Source: "road"}, time.Now())
	if err != nil {
		return err
	}
	if _, err = db.Apply(ctx, trips.Command{Key: keyOf(trips.Rider(rider), "request"), Event: ev}); err != nil {
		return err
	}

	for step, transition := range []trips.Transition{
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(trips.DriverID(driver.ID), at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Arrive(driver, at) },
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Start(driver, at) },
	} {
		if _, err := service.Apply(ctx, keyOf(driver, fmt.Sprint("step-", step)), rideID(i), transition); err != nil {
			return err
		}
	}
	return nil
}

// completeRide ends a ride as the app does: its event and its outbox message
// are one commit.
func completeRide(ctx context.Context, service *trips.Service, i int) error {
	driver := driverOf(i)
	_, err := service.Apply(ctx, keyOf(driver, "complete"), rideID(i),
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Complete(driver, at) })
	return err
}

// copyFile copies a database that is closed.
func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// booksPath is where one of several ways keeps its database.
func booksPath(folder string, way int) string {
	return filepath.Join(folder, fmt.Sprintf("way-%d.db", way))
}

// failingProvider stands before the emulated provider: it takes its time, and
// in an outage it is slow or dead. A dead one keeps each request until its
// client gives up.
type failingProvider struct {
	plan  outagePlan
	next  http.Handler
	begin time.Time
	calls atomic.Int64
}

func (p *failingProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.calls.Add(1)
	if readBody(w, r) != nil {
		return
	}

	takes, since := providerTakes, time.Since(p.begin)
	if outage := since >= outageFrom && since < p.plan.outageTo(); outage && p.plan.dead {
		sleep.Until(r.Context(), p.begin.Add(p.plan.outageTo()))
		panic(http.ErrAbortHandler) // cut the connection
	} else if outage {
		takes = slowProviderTakes
	}
	if sleep.For(r.Context(), takes) {
		p.next.ServeHTTP(w, r)
	}
}
