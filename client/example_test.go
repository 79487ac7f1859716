package client_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// One whole ride: Ada asks for it, Dayo accepts it and drives.
func Example() {
	server, stop, err := startNode()
	if err != nil {
		log.Fatal(err)
	}
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	nodes := client.New(client.Config{Servers: []string{server}, Name: "example/1.0"})
	defer nodes.Close()

	// A session tells what happens by callbacks; here they only fill channels.
	offers, events := make(chan *wire.Offer, 1), make(chan *wire.TripEvent, 8)
	seen := make(chan *wire.Position, 1)
	driver := nodes.NewSession(client.SessionConfig{
		Token: nodes.DevTokens(client.RoleDriver, "dayo"),
		OnFrame: func(f *wire.ServerFrame, _ time.Time) {
			if o := f.GetOffer(); o != nil {
				offers <- o
			}
		},
	})

	rider := nodes.NewSession(client.SessionConfig{
		Token: nodes.DevTokens(client.RoleRider, "ada"),
		OnFrame: func(f *wire.ServerFrame, _ time.Time) {
			if e := f.GetTripEvent(); e != nil {
				events <- e
			}
			if p := f.GetPosition(); p != nil {
				select {
				case seen <- p:
				default: // one is enough for this example
				}
			}
		},
	})

	for _, s := range []*client.Session{driver, rider} {
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				log.Print(err)
			}
		})
	}

	// Dayo goes on duty and sends where the car is.
	market, stadium := &wire.Point{Lng: 3.384979, Lat: 6.408022}, &wire.Point{Lng: 3.393263, Lat: 6.484199}
	mustDo(ctx, driver, client.NewFrame(&wire.SetAvailable{Available: true}))
	running.Go(func() { sendFixes(ctx, driver, market) })

	// Ada asks for a ride, and Dayo takes it.
	trip := mustDo(ctx, rider, client.NewFrame(&wire.RequestTrip{Pickup: market, Dropoff: stadium})).Trip
	fmt.Println("ada asks for a ride:", trip.State)
	offer := receiveFrom(ctx, offers)
	trip = mustDo(ctx, driver, client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true})).Trip
	fmt.Println("dayo accepts:", trip.State)
	fmt.Println("ada sees the car of", receiveFrom(ctx, seen).DriverId)

	// Dayo drives.
	for _, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		trip = mustDo(ctx, driver, client.NewFrame(&wire.MoveTrip{TripId: trip.Id, Step: step})).Trip
		fmt.Println("dayo:", trip.State)
	}

	for state := client.StateRequested; client.IsActive(state); {
		e := receiveFrom(ctx, events)
		fmt.Printf("ada hears of %d %s\n", e.Seq, e.Kind)
		state = e.Trip.State
	}

	// Output:
	// ada asks for a ride: requested
	// dayo accepts: reserved
	// ada sees the car of dayo
	// dayo: arrived
	// dayo: on_trip
	// dayo: completed
	// ada hears of 1 requested
	// ada hears of 2 reserved
	// ada hears of 3 arrived
	// ada hears of 4 on_trip
	// ada hears of 5 completed
}

// mustDo sends a command and waits for its answer, over a lost connection if need
// be.
func mustDo(ctx context.Context, s *client.Session, command *wire.ClientFrame) *wire.Ack {
	ack, err := s.Do(ctx, command)
	if err != nil {
		log.Panic(err)
	}
	return ack
}

// sendFixes sends a position five times a second until the context ends. One
// that is lost does not matter: the next is newer.
func sendFixes(ctx context.Context, s *client.Session, at *wire.Point) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for seq := uint32(1); ; seq++ {
		_ = s.Send(client.NewFrame(&wire.Fix{Seq: seq, AtMs: wire.ToMillis(time.Now()), Point: at, Accuracy: 5}))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// receiveFrom waits for what a callback gave.
func receiveFrom[T any](ctx context.Context, from <-chan T) (v T) {
	select {
	case v = <-from:
	case <-ctx.Done():
		log.Panic(ctx.Err())
	}
	return v
}
