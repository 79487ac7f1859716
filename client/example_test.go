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

// A whole ride: Ada requests a trip, Dayo accepts the offer and drives.
func Example() {
	server, stop := startNode()
	defer stop()

	nodes := client.New(client.Config{Servers: []string{server}, Name: "example/1.0"})
	defer nodes.Close()

	// Callbacks must not block, so they only fill channels.
	offers, events := make(chan *wire.Offer, 1), make(chan *wire.TripEvent, 8)
	positions := make(chan *wire.Position, 1)
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
			switch body := f.Body.(type) {
			case *wire.ServerFrame_TripEvent:
				events <- body.TripEvent
			case *wire.ServerFrame_Position:
				select {
				case positions <- body.Position:
				default: // The first one is enough here.
				}
			}
		},
	})

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	running.Go(func() { _ = driver.Run(ctx) })
	running.Go(func() { _ = rider.Run(ctx) })

	// Dayo goes on duty and sends the car's position.
	market, stadium := &wire.Point{Lng: 3.384979, Lat: 6.408022}, &wire.Point{Lng: 3.393263, Lat: 6.484199}
	mustDo(ctx, driver, client.NewFrame(&wire.SetAvailable{Available: true}))
	running.Go(func() { sendFixes(ctx, driver, market) })

	// Ada requests a trip, and Dayo accepts the offer.
	trip := mustDo(ctx, rider, client.NewFrame(&wire.RequestTrip{Pickup: market, Dropoff: stadium})).Trip
	fmt.Println("ada requests:", trip.State)
	offer := <-offers
	trip = mustDo(ctx, driver, client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true})).Trip
	fmt.Println("dayo accepts:", trip.State)
	fmt.Println("ada sees the car of", (<-positions).DriverId)

	// Dayo drives. The node tells Ada about every change of the trip, in order.
	for _, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		mustDo(ctx, driver, client.NewFrame(&wire.MoveTrip{TripId: trip.Id, Step: step}))
	}

	for state := client.StateRequested; client.IsActive(state); {
		e := <-events
		fmt.Println("event", e.Seq, e.Kind)
		state = e.Trip.State
	}

	// Output:
	// ada requests: requested
	// dayo accepts: reserved
	// ada sees the car of dayo
	// event 1 requested
	// event 2 reserved
	// event 3 arrived
	// event 4 on_trip
	// event 5 completed
}

// mustDo sends a command and waits for the answer.
func mustDo(ctx context.Context, s *client.Session, command *wire.ClientFrame) *wire.Ack {
	ack, err := s.Do(ctx, command)
	if err != nil {
		log.Panic(err)
	}
	return ack
}

// sendFixes sends a position five times a second until ctx ends. A lost one
// does not matter, because the next one is newer.
func sendFixes(ctx context.Context, s *client.Session, at *wire.Point) {
	for seq := uint32(1); ctx.Err() == nil; seq++ {
		_ = s.Send(client.NewFrame(&wire.Fix{Seq: seq, AtMs: wire.ToMillis(time.Now()), Point: at, Accuracy: 5}))
		time.Sleep(200 * time.Millisecond)
	}
}
